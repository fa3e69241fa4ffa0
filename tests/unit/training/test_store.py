from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from training.errors import TrackingError
from training.store import TrackingStore, metric_names
from training.vendor import mlflow_client, without_password


@pytest.fixture
def client(store: TrackingStore) -> Any:
    return mlflow_client(store.tracking_uri, None)


def test_a_run_keeps_what_is_logged(store: TrackingStore, client: Any) -> None:
    with store.run("a-run", params={"kind": "x", "list": ["a", 1], "none": None}, tags={"t": "v"}) as run:
        run.log_metrics({"roc_auc": 0.75, "se:x@.gap": 0.5})
        run.log_text("hello\n", "notes.txt")
        run.log_data("people", digest="sha256:" + "a" * 64, source="file t.csv", rows=3, columns=2)
    kept = client.get_run(run.run_id)

    assert kept.info.status == "FINISHED"
    assert kept.data.params == {"kind": "x", "list": '["a", 1]', "none": "null"}
    assert kept.data.metrics == {"roc_auc": 0.75, "se_x_.gap": 0.5}
    assert kept.data.tags["t"] == "v"
    assert kept.inputs.dataset_inputs[0].dataset.name == "people"
    assert [artifact.path for artifact in client.list_artifacts(run.run_id)] == ["notes.txt"]


def test_a_run_that_raises_is_closed_as_failed(store: TrackingStore, client: Any) -> None:
    ids: list[str] = []

    def broken() -> None:
        with store.run("broken", params={}, tags={}) as run:
            ids.append(run.run_id)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()

    assert client.get_run(ids[0]).info.status == "FAILED"


def test_a_deleted_experiment_says_what_to_do(store: TrackingStore, client: Any) -> None:
    other = dataclasses.replace(store, experiment="deleted")
    with other.run("r", params={}, tags={}):
        pass
    client.delete_experiment(client.get_experiment_by_name("deleted").experiment_id)

    with (
        pytest.raises(TrackingError, match="'deleted' was deleted; restore it"),
        other.run("r", params={}, tags={}),
    ):
        pytest.fail("the run was opened")


def test_mlflows_global_address_is_left_alone(store: TrackingStore) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    with store.run("r", params={}, tags={}):
        pass

    assert mlflow.get_tracking_uri() == before
    assert mlflow.active_run() is None


def test_a_store_that_cannot_be_reached_is_one_line_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    away = TrackingStore("http://me:hunter2@127.0.0.1:9", artifact_root=tmp_path)
    with pytest.raises(TrackingError) as caught, away.run("r", params={}, tags={}):
        pytest.fail("the run was opened")

    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:secret@host:5000/x", "https://host:5000/x"),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_a_password_is_taken_out_of_an_address(address: str, shown: str) -> None:
    assert without_password(address) == shown


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["größe (cm)@50%.gap"], ["größe _cm__50_.gap"]),
        (
            ["age.group.<25", "age.group.>25", "age.group._25_2"],
            ["age.group._25", "age.group._25_2", "age.group._25_2_2"],
        ),
        (["../a//b", "a/b"], [".._a__b", "a/b"]),
        (["x" * 400, "x" * 300], ["x" * 250, "x" * 244 + "_2"]),
    ],
)
def test_a_metric_may_be_named_after_any_column_and_any_group(names: list[str], shown: list[str]) -> None:
    assert metric_names(names) == shown


def test_a_run_keeps_more_metrics_than_mlflow_takes_at_once_each_under_a_name(
    store: TrackingStore, client: Any
) -> None:
    numbers = {f"a.group.{'<' if place % 2 else '>'}{place // 2}/": float(place) for place in range(1_200)}
    with store.run("many", params={}, tags={}) as run:
        run.log_metrics(numbers)
    assert sorted(client.get_run(run.run_id).data.metrics.values()) == sorted(numbers.values())
