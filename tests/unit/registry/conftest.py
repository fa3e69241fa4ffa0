"""One embedded MLflow store for the session (its migrations take seconds), and both kinds of registry."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from registry.mlflow_registry import MlflowRegistry
from registry.registry import Registry
from registry.store import embedded_tracking_uri, prepare_embedded_store
from registry.versions import ModelVersion
from tests.fakes.registry import FakeRegistry

Register = Callable[..., ModelVersion]
_numbers = itertools.count()


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("mlflow")
    assert prepare_embedded_store(root / "mlflow.db", root / "artifacts")
    return embedded_tracking_uri(root / "mlflow.db")


@pytest.fixture(params=["fake", "mlflow"])
def registry(request: pytest.FixtureRequest) -> Registry:
    if request.param == "fake":
        return FakeRegistry()
    uri = request.getfixturevalue("tracking_uri")
    return MlflowRegistry(uri, artifact_root=Path(uri.removeprefix("sqlite:///")).parent / "artifacts")


@pytest.fixture
def name() -> str:
    return f"model-{next(_numbers)}"


@pytest.fixture
def register(registry: Registry) -> Register:
    def make(name: str, folder: Path, tags: Mapping[str, str] | None = None) -> ModelVersion:
        if isinstance(registry, FakeRegistry):
            return registry.register(name, folder, tags)
        from mlflow.exceptions import MlflowException

        client = registry._client
        try:
            client.get_registered_model(name)
        except MlflowException:
            client.create_registered_model(name)
        made = client.create_model_version(name, str(folder), tags=dict(tags or {}))
        return registry.versions(name)[0] if made else pytest.fail("not registered")

    return make


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A version's files: one at the top, one in `fairmind/`."""
    folder = tmp_path / "files"
    (folder / "fairmind").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "fairmind" / "signature.json").write_text("{}")
    return folder
