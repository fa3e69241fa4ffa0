"""The embedded store is made once, whole, and silently."""

from __future__ import annotations

from pathlib import Path

from registry.mlflow_registry import MlflowRegistry
from registry.store import embedded_tracking_uri, prepare_embedded_store


def test_a_store_that_is_there_is_left_alone(tracking_uri: str, tmp_path: Path) -> None:
    database = Path(tracking_uri.removeprefix("sqlite:///"))
    before = database.stat().st_mtime_ns
    assert not prepare_embedded_store(database, tmp_path / "artifacts")
    assert database.stat().st_mtime_ns == before
    assert not database.with_suffix(".new").exists()


def test_the_first_use_of_a_made_store_prints_nothing(tracking_uri: str, capfd) -> None:
    MlflowRegistry(tracking_uri).names()
    assert capfd.readouterr() == ("", "")


def test_the_tracking_uri_of_a_path_is_absolute(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert embedded_tracking_uri(Path("home/mlflow.db")) == f"sqlite:///{tmp_path}/home/mlflow.db"


def test_what_an_interrupted_first_use_left_behind_is_cleared_away(tracking_uri: str, tmp_path: Path) -> None:
    (tmp_path / "mlflow.new").write_bytes(b"half a database")
    (tmp_path / "mlflow.new-journal").write_bytes(b"and its journal")
    assert prepare_embedded_store(tmp_path / "mlflow.db", tmp_path / "artifacts")
    assert MlflowRegistry(embedded_tracking_uri(tmp_path / "mlflow.db")).names() == []
    assert not list(tmp_path.glob("mlflow.new*"))
