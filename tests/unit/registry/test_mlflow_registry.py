"""What only the door to MLflow does: many pages, outages, and no secret in a message."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from registry.errors import RegistryUnavailableError
from registry.mlflow_registry import MlflowRegistry
from registry.reference import Reference


@pytest.fixture
def mlflow_registry(tracking_uri: str) -> MlflowRegistry:
    return MlflowRegistry(tracking_uri)


def test_polling_costs_one_search_when_no_alias_moved(
    mlflow_registry: MlflowRegistry, name, files, monkeypatch
) -> None:
    client = mlflow_registry._client
    client.create_registered_model(name)
    client.create_model_version(name, str(files), tags={"fairmind.digest": "sha256:abc"})
    mlflow_registry.set_alias(name, "champion", "1")
    mlflow_registry.aliased()
    calls = []
    search = client.search_registered_models
    monkeypatch.setattr(client, "search_registered_models", lambda **k: calls.append("search") or search(**k))
    get = client.get_model_version  # other tests' models share this store; only ours must not be asked for again
    monkeypatch.setattr(client, "get_model_version", lambda n, v: (n == name and calls.append(n)) or get(n, v))
    assert name in {version.name for version in mlflow_registry.aliased() if version.digest}
    assert calls == ["search"]


def test_more_models_than_a_page_are_all_listed(mlflow_registry: MlflowRegistry, name, monkeypatch) -> None:
    monkeypatch.setattr("registry.mlflow_registry._PAGE", 2)
    for number in range(5):
        mlflow_registry._client.create_registered_model(f"{name}-{number}")
    assert len([n for n in mlflow_registry.names() if n.startswith(f"{name}-")]) == 5


def test_a_server_that_is_away_is_reported_in_bounded_time(monkeypatch) -> None:
    for variable in ("TIMEOUT", "MAX_RETRIES", "BACKOFF_FACTOR"):
        monkeypatch.delenv(f"MLFLOW_HTTP_REQUEST_{variable}", raising=False)
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{variable}", "")  # so that what is set here is undone
        monkeypatch.delenv(f"MLFLOW_HTTP_REQUEST_{variable}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    registry = MlflowRegistry(f"http://somebody:secret@127.0.0.1:{port}", timeout_seconds=1)
    start = time.monotonic()
    with pytest.raises(RegistryUnavailableError) as caught:
        registry.find(Reference("credit", alias="champion"))
    assert time.monotonic() - start < 10
    assert "secret" not in str(caught.value)
    assert f"127.0.0.1:{port}" in str(caught.value)


def test_a_server_that_accepts_and_says_nothing_is_given_up_on(monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        registry = MlflowRegistry(f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(RegistryUnavailableError):
            registry.names()
        assert time.monotonic() - start < 10


def test_files_that_are_gone_are_unavailable(mlflow_registry: MlflowRegistry, name, tmp_path: Path) -> None:
    client = mlflow_registry._client
    client.create_registered_model(name)
    client.create_model_version(name, str(tmp_path / "gone"))
    version = mlflow_registry.find(Reference(name, version="1"))
    with pytest.raises(RegistryUnavailableError, match="did not arrive"):
        mlflow_registry.download(version, tmp_path / "copy")
