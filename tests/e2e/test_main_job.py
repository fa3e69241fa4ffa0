"""The main job on real processes and real people, in the order a user meets it."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
import skops.io
import yaml

from database.engine import sqlite_engine
from registry.mlflow_registry import MlflowRegistry
from registry.reference import Reference
from registry.store import embedded_tracking_uri
from rollout.assignment import Cohort, cohort, hash_unit
from rollout.serving_state import ServingState, parse_file
from rollout.serving_store import serving_states, write_state


def registered_model(home: Path, version: str, folder: Path) -> Any:
    """Load the model as it was registered, by scikit-learn, without anything that was compiled."""
    registry = MlflowRegistry(embedded_tracking_uri(home / "mlflow.db"))
    registry.download(registry.find(Reference("employment", version=version)), folder)
    (file,) = folder.rglob("model.skops")
    return skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_is_served_equals_the_registered_model_on_5000_real_rows(
    served: Any,
    census: pd.DataFrame,
    columns: list[str],
    instances: list[dict[str, Any]],
    version: str,
    tmp_path: Path,
) -> None:
    expected = registered_model(served.home, version, tmp_path).predict_proba(census[columns])
    rows = [{"features": one["features"]} for one in instances]
    answers = [
        answer
        for start in range(0, len(rows), 1_000)
        for answer in served.predict(rows[start : start + 1_000], model=f"employment/{version}")
    ]
    found = np.array([answer["probability"] for answer in answers])
    np.testing.assert_allclose(found, expected[:, 1], rtol=0, atol=1e-6)
    assert [answer["prediction"] for answer in answers] == (expected[:, 1] > 0.5).astype(int).tolist()

    tensors = [
        {
            "name": column,
            "shape": [len(rows)],
            "datatype": "FP64" if column == "AGEP" else "BYTES",
            "data": census[column].tolist(),
        }
        for column in columns
    ]
    response = served.post(f"/v2/models/employment/versions/{version}/infer", {"inputs": tensors})
    outputs = {output["name"]: output for output in response.json()["outputs"]}
    probabilities = np.array(outputs["probabilities"]["data"]).reshape(outputs["probabilities"]["shape"])
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)
    assert outputs["prediction"]["data"] == [answer["prediction"] for answer in answers]


def test_bentomls_own_client_predicts_unmodified(served: Any, instances: list[dict[str, Any]]) -> None:
    answer = served.bentoml("predict", instances=instances[:3])
    by_http = served.predict(instances[:3])
    for one, other in zip(answer["predictions"], by_http, strict=True):
        assert one["probability"] == other["probability"]
        assert one["prediction_id"] != other["prediction_id"]


def test_units_are_split_as_the_assignment_says_and_weights_are_followed(
    served: Any, instances: list[dict[str, Any]], tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("model: employment\nsteps: [{weight: 0.2}]\n")
    rollout = served.fairmind("rollout", "start", str(plan))
    served.wait_for_workers(lambda detail: detail["models"]["employment"]["weight"] == 0.2)
    state = parse_file((served.home / "run" / "serving.json").read_bytes()).models["employment"]
    for weight_bp in (2_000, 4_000):
        if weight_bp != 2_000:
            changed = served.fairmind("rollout", "weight", rollout["id"], str(weight_bp / 10_000))
            assert changed["weight"] == weight_bp / 10_000
            wanted = weight_bp / 10_000
            seconds = served.wait_for_workers(
                lambda detail: detail["models"]["employment"]["weight"] == wanted  # noqa: B023  (called at once)
            )
            assert seconds < 5, "the promise is one second; five allow for a busy machine"
        answers = served.predict(instances[:2_000])
        for one, answer in zip(instances[:2_000], answers, strict=True):
            is_challenger = cohort(hash_unit(state.salt, one["unit"]), weight_bp) is Cohort.CHALLENGER
            assert answer["variant"] == ("challenger" if is_challenger else "champion")
            assert answer["model_version"] == ("2" if is_challenger else "1")
        share = sum(answer["variant"] == "challenger" for answer in answers) / len(answers)
        assert abs(share - weight_bp / 10_000) < 4 * np.sqrt(0.25 / len(answers))


def test_a_shadow_is_in_the_log_as_pairs_and_seen_by_no_client(
    served: Any, instances: list[dict[str, Any]]
) -> None:
    with _serving_with(served, weight_bp=0, shadow_bp=10_000):
        asked = [{**one, "unit": None} if number % 2 else one for number, one in enumerate(instances[:60])]
        answers = served.predict(asked)
        assert {(one["variant"], one["model_version"]) for one in answers} == {("champion", "1")}
        expected = served.predict([{"features": one["features"]} for one in asked], model="employment/2")
        request_id, _, _ = answers[0]["prediction_id"].rpartition("-")
        pair = _logged(served.home, request_id, "shadow")
    assert (pair["status"], pair["challenger_version"], pair["positions"]) == ("ok", "2", list(range(60)))
    assert pair["champion_scores"] == [one["probability"] for one in answers]
    assert pair["challenger_scores"] == pytest.approx([one["probability"] for one in expected], abs=1e-12)


def test_rows_without_a_unit_are_split_by_their_request_and_stick_to_nothing_else(
    served: Any, instances: list[dict[str, Any]]
) -> None:
    with _serving_with(served, weight_bp=5_000, on_missing_key="request") as state:
        row = {"features": instances[0]["features"]}
        answers = [served.predict([row, row]) for _ in range(30)]
        for answer in (one for both in answers for one in both):
            said = cohort(hash_unit(state.salt, answer["prediction_id"]), 5_000)
            assert answer["variant"] == ("challenger" if said is Cohort.CHALLENGER else "champion")
        assert len({tuple(one["variant"] for one in both) for both in answers}) == 4, "all four pairs of variants"
    with _serving_with(served, weight_bp=5_000, on_missing_key="champion"):
        assert {one["variant"] for _ in range(10) for one in served.predict([row, row])} == {"champion"}


@contextlib.contextmanager
def _serving_with(served: Any, **changes: Any) -> Iterator[ServingState]:
    """Change the serving state behind the rollout's back, on every worker, and put it back afterwards."""
    control = sqlite_engine(served.home / "fairmind.db")

    def write(**values: Any) -> ServingState:
        with control.begin() as connection:
            write_state(connection, "employment", datetime.now(UTC), **values)
        state = serving_states(control)["employment"]
        served.wait_for_workers(lambda detail: detail["models"]["employment"]["epoch"] == state.epoch)
        return state

    before = serving_states(control)["employment"].model_dump()
    try:
        yield write(**changes)
    finally:
        write(**{name: before[name] for name in ("weight_bp", "shadow_bp", "on_missing_key")})
        control.dispose()


def _logged(home: Path, request_id: str, kind: str) -> dict[str, Any]:
    """Return the line of a kind that the workers' segments have of a request, once it is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for path in (home / "spool").glob("*"):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # archived meanwhile; the quarantine
                for line in path.read_bytes().splitlines():
                    if request_id.encode() in line and f'"kind":"{kind}"'.encode() in line:
                        found: dict[str, Any] = json.loads(line)
                        return found
        time.sleep(0.1)
    raise AssertionError(f"no {kind} of {request_id} in the spool")


def test_a_hand_may_not_move_what_a_rollout_decides(served: Any) -> None:
    said = served.fairmind("models", "promote", "employment/2", status=1)
    assert "fairmind rollout promote" in said


def test_outcomes_and_a_bias_test_of_live_traffic_through_the_endpoint(
    served: Any, census: pd.DataFrame, instances: list[dict[str, Any]]
) -> None:
    answers = served.predict(instances[:3_000])
    outcomes = [
        {"prediction_id": answer["prediction_id"], "outcome": int(label)}
        for answer, label in zip(answers, census["employed"], strict=False)
    ]
    deadline = time.monotonic() + 30
    while served.post("/api/v1/outcomes", outcomes).json()["unmatched"]:
        assert time.monotonic() < deadline, "the log did not catch up"
    again = served.post("/api/v1/outcomes", outcomes).json()
    assert again == {"accepted": 0, "repeated": 3_000, "unmatched": 0}

    body = {
        "model": "employment",
        "favourable": 1,
        "protected": ["SEX"],
        "window": {"version": "1"},
        "policy": {"tolerances": [{"metric": "equalized_odds_difference", "attribute": "SEX", "at_most": 0.3}]},
    }
    result = served.post("/bias_test", body).json()
    assert (result["source"], result["model_version"], result["verdict"]) == ("traffic", "1", "pass")

    inline = served.bentoml(
        "bias_test",
        favourable=1,
        model="employment",
        version="1",
        instances=[
            {"features": one["features"], "protected": one["protected"], "outcome": int(label)}
            for one, label in zip(instances[:2_000], census["employed"], strict=False)
        ],
    )
    (sex,) = [attribute for attribute in inline["attributes"] if attribute["attribute"] == "SEX"]
    frame = census.head(2_000).assign(
        decided=[answer["prediction"] for answer in served.predict(instances[:2_000], model="employment/1")]
    )
    for group in sex["groups"]:
        people = frame[frame["SEX"] == group["group"]]
        assert group["rows"] == len(people)
        assert group["selection_rate"]["value"] == pytest.approx(people["decided"].mean())
        assert group["true_positive_rate"]["value"] == pytest.approx(
            people.loc[people["employed"] == 1, "decided"].mean()
        )


def test_every_prediction_is_in_the_log_and_counted(served: Any, instances: list[dict[str, Any]]) -> None:
    before = _settled(served)
    served.predict(instances[:500])
    deadline = time.monotonic() + 30
    while (counted := _counted(served)) != (before + 500, before + 500):
        assert time.monotonic() < deadline, f"{before} predictions and 500 more became {counted}"
        time.sleep(0.2)


def _settled(served: Any) -> int:
    """Return the predictions counted, once the workers have told all and the log is written."""
    deadline = time.monotonic() + 60
    last = (-1, -1)
    while time.monotonic() < deadline:
        counted = _counted(served)
        if counted == last and counted[0] == counted[1]:
            return counted[0]
        last = counted
        time.sleep(1.0)  # workers save what they counted five times a second
    raise AssertionError(f"predictions and written rows are still {last}")


def _counted(served: Any) -> tuple[int, int]:
    lines = served.get("/metrics").text.splitlines()
    predictions = sum(float(line.split()[-1]) for line in lines if line.startswith("fairmind_predictions_total"))
    written = [line for line in lines if line.startswith('fairmind_prediction_log_rows_total{outcome="written"}')]
    return int(predictions), int(float(written[0].split()[-1])) if written else 0


def test_the_challenger_is_promoted_without_a_failed_request_and_every_worker_follows(
    served: Any, instances: list[dict[str, Any]]
) -> None:
    (rollout,) = [one for one in served.get("/api/v1/rollouts").json()["rollouts"] if one["finished_at"] is None]
    failed: list[str] = []
    counts: dict[str, int] = {"1": 0, "2": 0}
    done = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=served.url, timeout=30, trust_env=False) as client:
            while not done.is_set():
                response = client.post("/predict", json={"instances": instances[:2]})
                if response.status_code == 200:
                    counts[response.json()["predictions"][0]["model_version"]] += 1
                else:
                    failed.append(response.text)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    try:
        promoted = served.fairmind("rollout", "promote", rollout["id"])
        assert promoted["state"] == "promoted"
        served.wait_for_workers(lambda detail: detail["models"]["employment"]["champion"] == "2")
    finally:
        done.set()
        for thread in asking:
            thread.join()
    assert failed == []
    assert counts["2"] > 0
    assert {answer["model_version"] for answer in served.predict(instances[:200])} == {"2"}
    models = served.get("/api/v1/models/employment").json()
    aliases = {version["version"]: version["aliases"] for version in models["versions"]}
    assert aliases == {"1": ["previous_champion"], "2": ["champion"]}


def test_a_rollback_puts_the_previous_champion_back(served: Any) -> None:
    assert served.fairmind("models", "rollback", "employment")["version"] == "1"
    served.wait_for_workers(lambda detail: detail["models"]["employment"]["champion"] == "1")


def test_a_refused_promotion_says_which_gate_by_how_much_and_exits_3_and_an_override_is_recorded(
    served: Any, tmp_path: Path
) -> None:
    credit = Path(__file__).resolve().parents[2] / "training" / "configs" / "credit.yaml"
    config = yaml.safe_load(credit.read_text()) | {"name": "strict"}
    config["estimators"] = {"logistic": config["estimators"]["logistic"]}
    config["gates"]["quality"] = [{"metric": "roc_auc", "at_least": 0.99}]
    strict = tmp_path / "strict.yaml"
    strict.write_text(yaml.safe_dump(config))
    versions = served.fairmind("train", str(strict))["versions"]
    reference = versions[0]["reference"]
    said = served.fairmind("models", "promote", reference, status=3)
    assert "quality gate" in said
    assert "off by" in said
    served.fairmind("models", "promote", reference, "--override", "a pilot with ten people")
    tags = served.fairmind("models", "show", reference)["tags"]
    assert tags["fairmind.override.reason"] == "a pilot with ten people"
    assert tags["fairmind.override.by"]
    assert tags["fairmind.override.at"]
    served.wait_for_workers(lambda detail: "strict" in detail["models"])


def test_a_value_that_does_not_fit_shows_neither_in_an_answer_nor_in_the_log(
    served: Any, instances: list[dict[str, Any]]
) -> None:
    secret = "Zaphod-Beeblebrox"
    wrong = {**instances[0], "features": {**instances[0]["features"], "AGEP": secret}}
    bodies: list[tuple[str, Any, int]] = [
        ("/predict", {"instances": [wrong], "model": "employment"}, 422),
        ("/predict", {"instances": secret}, 400),
        ("/bias_test", {"favourable": 1, "model": "employment", "instances": [wrong]}, 422),
        ("/bias_test", {"favourable": 1, "instances": secret}, 422),
        ("/api/v1/outcomes", [{"prediction_id": secret * 20, "outcome": 1}], 422),
        ("/api/v1/rollouts", {"model": "employment", "steps": [{"weight": secret}]}, 422),
        ("/v2/models/employment/infer", {"inputs": [{"name": "AGEP", "data": secret}]}, 400),
        ("/schema.json", secret, 405),
    ]
    for path, body, status in bodies:
        response = served.post(path, body)
        assert response.status_code == status, (path, response.text)
        assert secret not in response.text
    assert secret not in served.server_log.read_text()


def test_a_worker_has_no_heavy_library_in_memory(served: Any) -> None:
    """What a process has loaded is in its memory map: the shared objects of heavy libraries are not."""
    workers = {served.get("/readyz").json()["worker"] for _ in range(50)}
    for pid in workers:
        mapped = {mapping.path for mapping in psutil.Process(pid).memory_maps()}
        assert any("numpy" in path for path in mapped)
        for library in ("pandas", "sklearn", "scipy", "sqlalchemy", "pyarrow"):
            assert not any(f"/{library}/" in path for path in mapped), library
        assert psutil.Process(pid).memory_info().rss < 200e6


def test_with_mlflow_gone_at_start_the_last_known_versions_serve(
    trained: Any, served: Any, instances: list[dict[str, Any]], tmp_path: Path
) -> None:
    """A second server on a copy of the home, whose registry nobody answers for."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("fairmind.db", "predictions.db"):
        shutil.copy(trained.home / name, home / name)
        for suffix in ("-wal", "-shm"):
            if (trained.home / (name + suffix)).exists():
                shutil.copy(trained.home / (name + suffix), home / (name + suffix))
    shutil.copytree(trained.home / "models", home / "models")
    alone = type(trained)(home)
    with alone.serving(MLFLOW_TRACKING_URI="http://127.0.0.1:9") as deployment:
        assert deployment.predict(instances[:5], model="employment")
        deadline = time.monotonic() + 60
        while not (problem := deployment.get("/api/v1/status").json()["problems"].get("registry")):
            assert time.monotonic() < deadline, "nobody says that the registry is away"
        assert "127.0.0.1:9" in problem
