"""MLflow's runs in a database: found again, never made twice, finished whatever happened before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from registry.store import embedded_tracking_uri, prepare_embedded_store
from tests.unit.tracking.conftest import make_record
from tracking.errors import ProviderUnavailableError, RunNotFoundError
from tracking.mlflow_runs import DELIVERY_TAG, MlflowRuns
from tracking.run_content import RunContent, run_content


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mlflow")
    prepare_embedded_store(root / "mlflow.db", root / "artifacts")
    return root


@pytest.fixture
def client(home: Path) -> MlflowClient:
    return MlflowClient(embedded_tracking_uri(home / "mlflow.db"))


@pytest.fixture
def new_runs(home: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens runs of an experiment of the test's own, as the process that sends does."""
    for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(name, "5")  # given back afterwards: opening sets them
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

    def make(ui: str | None = None, experiment: str | None = None) -> MlflowRuns:
        return MlflowRuns(
            tracking_uri=embedded_tracking_uri(home / "mlflow.db"),
            experiment=experiment or request.node.name,
            artifact_root=(home / "artifacts").as_uri(),
            ui=ui,
            request_seconds=5,
        )

    return make


@pytest.fixture
def runs(new_runs: Any) -> MlflowRuns:
    made: MlflowRuns = new_runs()
    return made


@pytest.fixture
def content() -> RunContent:
    return run_content(make_record())


def runs_of(client: MlflowClient, request: pytest.FixtureRequest, view: int = ViewType.ACTIVE_ONLY) -> list[Any]:
    experiment = client.get_experiment_by_name(request.node.name)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], run_view_type=view))


def test_a_run_has_params_metrics_tags_and_both_reports(
    runs: MlflowRuns, client: MlflowClient, content: RunContent, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    receipt = runs.deliver(content)
    (run,) = runs_of(client, request)
    assert (receipt.run_id, receipt.url) == (run.info.run_id, None)
    assert (run.info.run_name, run.info.status) == (content.name, "FINISHED")
    assert run.info.start_time == int(content.created_at.timestamp() * 1000)
    assert run.data.params == {key: str(value) for key, value in content.params.items()}
    assert run.data.metrics == content.measurements.metrics
    tags = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
    assert tags == content.tags | {DELIVERY_TAG: content.delivery_id}
    folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert (folder / "bias_test.html").read_text() == "<p>Größe</p>"
    assert json.loads((folder / "bias_test.json").read_text())["id"] == "t-1"


def test_the_same_test_is_one_run_and_its_numbers_are_there_once(
    runs: MlflowRuns, client: MlflowClient, content: RunContent, request: pytest.FixtureRequest
) -> None:
    first = runs.deliver(content)
    assert runs.deliver(content) == first
    (run,) = runs_of(client, request, ViewType.ALL)
    assert len(client.get_metric_history(run.info.run_id, "accuracy")) == 1


@pytest.mark.parametrize("stage", ["create_run", "log_batch", "log_text", "set_terminated"])
def test_a_run_that_was_left_half_way_is_finished(
    new_runs: Any,
    client: MlflowClient,
    content: RunContent,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    dying: MlflowRuns = new_runs()
    done = getattr(dying._client, stage)

    def die(*arguments: Any, **more: Any) -> Any:
        done(*arguments, **more)
        raise ConnectionResetError

    monkeypatch.setattr(dying._client, stage, die)
    with pytest.raises(ProviderUnavailableError):
        dying.deliver(content)
    receipt = new_runs().deliver(content)
    (run,) = runs_of(client, request, ViewType.ALL)
    assert (run.info.run_id, run.info.status) == (receipt.run_id, "FINISHED")
    assert run.data.metrics == content.measurements.metrics
    assert len(client.get_metric_history(run.info.run_id, "accuracy")) == 1


def test_a_run_that_was_made_late_by_a_request_given_up_is_deleted(
    runs: MlflowRuns, client: MlflowClient, content: RunContent, request: pytest.FixtureRequest, home: Path
) -> None:
    experiment_id = client.create_experiment(request.node.name, artifact_location=home.as_uri())
    for _ in range(3):
        client.create_run(experiment_id, tags={DELIVERY_TAG: content.delivery_id})
    receipt = runs.deliver(content)
    (run,) = runs_of(client, request)
    assert (run.info.run_id, run.info.status) == (receipt.run_id, "FINISHED")


def test_a_run_that_somebody_deleted_is_made_again(
    runs: MlflowRuns, client: MlflowClient, content: RunContent
) -> None:
    first = runs.deliver(content)
    client.delete_run(first.run_id)
    assert runs.deliver(content).run_id != first.run_id


def test_more_numbers_than_fit_into_one_request_are_all_there(runs: MlflowRuns, client: MlflowClient) -> None:
    record = make_record(results={f"n{number}": number for number in range(1_500)}, metadata={"long": "x" * 10_000})
    receipt = runs.deliver(run_content(record))
    run = client.get_run(receipt.run_id)
    assert len(run.data.metrics) == 1_500
    assert len(run.data.params["long"]) == 6_000


def test_an_experiment_that_was_deleted_is_a_problem_with_a_remedy(
    runs: MlflowRuns, client: MlflowClient, content: RunContent, request: pytest.FixtureRequest, home: Path
) -> None:
    client.delete_experiment(client.create_experiment(request.node.name, artifact_location=home.as_uri()))
    with pytest.raises(ProviderUnavailableError, match="was deleted; restore it or set MLFLOW_EXPERIMENT_NAME"):
        runs.deliver(content)


def test_the_address_names_the_experiment_of_the_run_whichever_is_configured(
    new_runs: Any, client: MlflowClient, content: RunContent
) -> None:
    run_id = new_runs(experiment="elsewhere").deliver(content).run_id
    experiment = client.get_experiment_by_name("elsewhere")
    expected = f"http://localhost:5000/#/experiments/{experiment.experiment_id}/runs/{run_id}"
    assert new_runs(ui="http://localhost:5000/").url(run_id) == expected


def test_a_run_that_is_not_there_or_has_no_page_is_told_apart(runs: MlflowRuns, content: RunContent) -> None:
    with pytest.raises(RunNotFoundError, match="no such run"):
        runs.url("0" * 32)
    with pytest.raises(RunNotFoundError, match="FAIRMIND_TRACKING_MLFLOW_UI"):
        runs.url(str(runs.deliver(content).run_id))


def test_mlflows_global_addresses_are_left_alone(runs: MlflowRuns, content: RunContent) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    runs.deliver(content)
    assert mlflow.get_tracking_uri() == before
    assert mlflow.active_run() is None
