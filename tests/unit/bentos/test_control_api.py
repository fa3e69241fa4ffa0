"""The control API: every route, and one shape for every error."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bentos.companion import Companion
from bentos.protocol_openapi import protocol_paths
from registry.versions import DIGEST_TAG
from rollout.serving_store import follow_aliases, serving_epochs
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.api_answers import PLAN, Api, refused, start

JSON = {"content-type": "application/json"}


@pytest.fixture(autouse=True)
def served(companion: Companion, registry: FakeRegistry) -> None:
    follow_aliases(companion.control, registry.aliased(), datetime.now(UTC), seen=serving_epochs(companion.control))


def metrics(api: Api) -> dict[tuple[str, ...], float]:
    """Return every sample by its name and its labels in order of their names."""
    response = api("GET", "/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


# ---- models and status ----


def test_models_are_listed_with_versions_aliases_gates_and_what_serves(api: Api) -> None:
    (model,) = api("GET", "/api/v1/models").json()["models"]
    assert (model["name"], [version["version"] for version in model["versions"]]) == ("credit", ["3", "2", "1"])
    assert [version["aliases"] for version in model["versions"]] == [[], ["challenger"], ["champion"]]
    assert [version["gates"][0]["verdict"] for version in model["versions"]] == ["fail", "pass", "pass"]
    assert model["serving"] == {
        "epoch": 1,
        "champion": "1",
        "challenger": "2",
        "weight": 0.0,
        "rollout_id": None,
    }
    assert api("GET", "/api/v1/models/credit").json() == model


def test_an_unknown_model_is_404(api: Api) -> None:
    assert refused(api("GET", "/api/v1/models/nope"))[:2] == (404, "model_not_found")


def test_the_status_asks_no_registry_and_tells_the_problems(
    api: Api, companion: Companion, registry: FakeRegistry
) -> None:
    registry.away = True
    companion.problems["registry"] = "it is away"
    status = api("GET", "/api/v1/status").json()
    assert status["problems"] == {"registry": "it is away"}
    assert status["serving"]["credit"]["champion"]["version"] == "1"


def test_a_registry_that_is_away_is_503_and_says_when_to_retry(api: Api, registry: FakeRegistry) -> None:
    registry.away = True
    for method, path, body in (
        ("GET", "/api/v1/models", None),
        ("GET", "/api/v1/models/credit", None),
        ("POST", "/api/v1/rollouts", PLAN),
    ):
        response = api(method, path, json=body)
        assert refused(response)[:2] == (503, "registry_unavailable")
        assert int(response.headers["retry-after"]) >= 1


# ---- rollouts: what is wrong with a request (the rest is in test_rollout_routes.py) ----


def test_the_document_says_how_a_key_is_sent_and_nothing_of_what_the_front_door_adds(api: Api) -> None:
    document = api("GET", "/api/v1/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert document["paths"]["/api/v1/rollouts"]["post"]["security"] == [{"key": []}, {}]
    assert "rincipal" not in str(document)


@pytest.mark.parametrize(
    ("path", "body", "code", "words"),
    [
        ("/api/v1/rollouts", {"steps": [{"weight": 0.1}]}, "invalid_plan", "model"),
        ("/api/v1/rollouts", PLAN | {"steps": [{"weight": 0.7}]}, "invalid_plan", "steps.0.weight"),
        ("/api/v1/rollouts", PLAN | {"speed": 1}, "invalid_plan", "speed"),
        ("/api/v1/rollouts", [PLAN], "invalid_request", "dict"),
        ("/api/v1/rollouts/r-1/weight", {"weight": "much"}, "invalid_request", "weight"),
        ("/api/v1/rollouts/r-1/weight", {"weight": 0.1, "colour": 1}, "invalid_request", "colour"),
        ("/api/v1/rollouts/r-1/weight", {}, "invalid_request", "weight"),
        ("/api/v1/rollouts/r-1/pause", {"reason": "x" * 1001}, "invalid_request", "reason"),
        ("/api/v1/rollouts/r-1/promote", {"override": 7}, "invalid_request", "override"),
        ("/api/v1/outcomes", {"outcomes": []}, "invalid_request", "list"),
        ("/api/v1/outcomes", [{"outcome": 1}], "invalid_request", "0: "),
        ("/api/v1/outcomes", [{"prediction_id": "p", "outcome": 1, "colour": 1}], "invalid_request", "0.colour"),
    ],
)
def test_a_wrong_field_is_422_and_named(api: Api, path: str, body: Any, code: str, words: str) -> None:
    status, found, message = refused(api("POST", path, json=body))
    assert (status, found) == (422, code)
    assert words in message


def test_a_weight_that_is_no_number_or_too_large_is_422(api: Api) -> None:
    path = f"/api/v1/rollouts/{start(api)['id']}/weight"
    assert refused(api("POST", path, json={"weight": 0.6}))[:2] == (422, "invalid_plan")
    for number in (b"NaN", b"Infinity"):
        response = api("POST", path, content=b'{"weight": %b}' % number, headers=JSON)
        assert refused(response)[:2] == (422, "invalid_request")


# ---- outcomes ----


def test_outcomes_are_kept_once_and_those_of_no_prediction_are_told(api: Api) -> None:
    body = [{"prediction_id": "a-0", "outcome": 1}, {"model": "credit", "id": "mine", "outcome": "good"}]
    assert api("POST", "/api/v1/outcomes", json=body).json() == {"accepted": 2, "repeated": 0, "unmatched": 2}
    assert api("POST", "/api/v1/outcomes", json=body).json() == {"accepted": 0, "repeated": 2, "unmatched": 2}


def test_a_request_takes_one_to_ten_thousand_outcomes(api: Api) -> None:
    assert refused(api("POST", "/api/v1/outcomes", json=[]))[:2] == (422, "invalid_request")
    many = [{"prediction_id": f"p-{i}", "outcome": 1} for i in range(10_001)]
    status, code, message = refused(api("POST", "/api/v1/outcomes", json=many))
    assert (status, code, "10000" in message) == (422, "invalid_request", True)
    assert api("POST", "/api/v1/outcomes", json=many[:1000]).json()["accepted"] == 1000


@pytest.mark.parametrize("outcome", [b"NaN", b"Infinity", b"-Infinity", b"null", b"[1]", b"{}"])
def test_an_outcome_that_is_no_label_is_422(api: Api, outcome: bytes) -> None:
    content = b'[{"prediction_id": "a-0", "outcome": %b}]' % outcome
    assert refused(api("POST", "/api/v1/outcomes", content=content, headers=JSON))[0] == 422


@pytest.mark.parametrize("outcome", [b"9223372036854775807", b"1" + b"0" * 30, b"-1" + b"0" * 30, b"true", b'""'])
def test_an_outcome_that_is_a_label_is_kept_however_large_its_number(api: Api, outcome: bytes) -> None:
    content = b'[{"prediction_id": "a-0", "outcome": %b}]' % outcome
    assert api("POST", "/api/v1/outcomes", content=content, headers=JSON).json()["accepted"] == 1


# ---- what every route refuses alike ----

POSTS = ["/api/v1/rollouts", "/api/v1/outcomes", "/api/v1/rollouts/r-1/weight", "/bias_test"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("content", [b"{", b'{"a": "\xff"}', b"[" * 100_000, b"not json"])
def test_a_body_that_is_not_json_is_400(api: Api, path: str, content: bytes) -> None:
    assert refused(api("POST", path, content=content, headers=JSON))[:2] == (400, "malformed_request")


@pytest.mark.parametrize("path", POSTS)
def test_a_body_of_another_media_type_is_415(api: Api, path: str) -> None:
    response = api("POST", path, content=b"a,b", headers={"content-type": "text/csv"})
    assert refused(response)[:2] == (415, "unsupported_media_type")


@pytest.mark.parametrize("path", POSTS)
def test_no_body_is_422(api: Api, path: str) -> None:
    assert refused(api("POST", path))[:2] == (422, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/v1/models", "GET"),
        ("POST", "/api/v1/models/credit", "GET"),
        ("GET", "/api/v1/outcomes", "POST"),
        ("GET", "/bias_test", "POST"),
        ("POST", "/metrics", "GET"),
        ("PUT", "/api/v1/rollouts/r-1/pause", "POST"),
    ],
)
def test_another_method_is_405_and_names_the_right_one(api: Api, method: str, path: str, allowed: str) -> None:
    response = api(method, path)
    assert refused(response)[:2] == (405, "method_not_allowed")
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/api/v1/", "/api/v1/model", "/api/v2/models", "/api/v1/rollouts/r-1/cancel"])
def test_another_route_is_404_in_the_same_shape(api: Api, path: str) -> None:
    assert refused(api("GET", path))[:2] == (404, "route_not_found")


def test_text_that_cannot_be_written_as_utf8_is_refused_in_the_same_shape(api: Api) -> None:
    content = b'{"model": "credit", "steps": [{"weight": 0.1}], "\\ud800": 1}'
    assert refused(api("POST", "/api/v1/rollouts", content=content, headers=JSON))[:2] == (422, "invalid_plan")


def test_a_bug_is_500_without_its_details(api: Api, companion: Companion, caplog: pytest.LogCaptureFixture) -> None:
    companion.control.dispose()
    for path in companion.home.root.glob("fairmind.db*"):
        path.unlink()
    status, code, message = refused(api("GET", "/api/v1/status"))
    assert (status, code) == (500, "internal_error")
    assert "serving_state" not in message
    assert "an API request failed" in caplog.text


def test_where_a_bug_is_shows_in_the_log_under_the_requests_id_and_what_it_says_does_not(
    api: Api, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> list[str]:
        raise ValueError(f"age {40 + 1} is no number")  # written so that the line itself holds no value

    monkeypatch.setattr(registry, "names", broken)
    response = api("GET", "/api/v1/models", headers={"X-Request-Id": "front-1"})
    assert refused(response)[:2] == (500, "internal_error")
    assert response.json()["error"]["request_id"] == "front-1"
    assert "front-1" in caplog.text
    assert "ValueError" in caplog.text
    assert "in broken" in caplog.text
    assert "age 41" not in caplog.text + response.text
    assert [record.exc_info for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("path", ["/api/v1/nope", "/api/v1/models/nope", "/api/v1/outcomes"])
def test_every_refusal_has_the_id_that_the_front_door_gave(api: Api, path: str) -> None:
    response = api("GET", path, headers={"X-Request-Id": "front-2"})
    assert response.json()["error"]["request_id"] == "front-2"


def test_the_schema_lists_every_route(api: Api) -> None:
    told = api("GET", "/api/v1/openapi.json").json()["paths"].keys() - protocol_paths().keys()
    paths = {path for path in told if not path.startswith(("/api/v1/bias-", "/api/v1/datasets"))}
    actions = ("weight", "pause", "resume", "abort", "promote")
    assert paths == {
        "/api/v1/status",
        "/api/v1/variants",
        "/api/v1/variants/{name}/{version}/check",
        "/api/v1/models",
        "/api/v1/models/{name}",
        "/api/v1/attributes",
        "/api/v1/outcomes/coverage",
        "/api/v1/rollouts",
        "/api/v1/rollouts/{rollout_id}",
        *(f"/api/v1/rollouts/{{rollout_id}}/{action}" for action in actions),
        *(f"/api/v1/rollouts/{{rollout_id}}/{what}" for what in ("approve", "decisions", "evaluations", "report")),
        "/api/v1/outcomes",
        "/api/v1/drift",
        "/api/v1/explanations",
        *(f"/api/v1/predictions/{{prediction_id}}/{what}" for what in ("features", "reproduction")),
        "/api/v1/replays",
        *(f"/api/v1/replays/{{replay_id}}{what}" for what in ("", "/report")),
        *(f"/api/v1/mlops/{route}" for route in ("status", "log-test", "run-url/{provider}/{run_id}")),
        "/bias_test",
        "/metrics",
    }


# ---- metrics ----


def test_the_state_is_told_to_prometheus(api: Api, companion: Companion) -> None:
    start(api)
    found = metrics(api)
    assert found["fairmind_traffic_weight_ratio", "credit", "champion"] == 0.8
    assert found["fairmind_traffic_weight_ratio", "credit", "challenger"] == 0.2
    assert found["fairmind_model_info", "credit", "1", "champion"] == 1
    assert found["fairmind_model_info", "credit", "2", "challenger"] == 1
    assert found["fairmind_prediction_log_lag_seconds",] == 0


def test_a_model_that_is_gone_vanishes_from_the_metrics(
    api: Api, companion: Companion, registry: FakeRegistry
) -> None:
    assert any("credit" in key for key in metrics(api))
    registry.delete_alias("credit", "champion")
    follow_aliases(companion.control, registry.aliased(), datetime.now(UTC), seen=serving_epochs(companion.control))
    assert not any("credit" in key for key in metrics(api))


def test_what_workers_counted_is_summed_over_their_files(api: Api, tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    code = f"""
import pathlib
from monitoring.metrics_folders import process_metrics
metrics = process_metrics(pathlib.Path({str(folder)!r}))
metrics.predicted("credit", "champion", "predict", 7, 0.003)
metrics.request("credit", "predict", "200")
metrics.save()
"""
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True)
    found = metrics(api)
    assert found["fairmind_predictions_total", "credit", "champion"] == 14
    assert found["fairmind_requests_total", "200", "credit", "predict"] == 2
    assert found["fairmind_traffic_weight_ratio", "credit", "champion"] == 1


def test_a_version_that_is_to_serve_and_does_not_verify_is_told_to_prometheus(
    api: Api, companion: Companion, registry: FakeRegistry, tmp_path: Path
) -> None:
    (tmp_path / "changed").mkdir()
    registry.register("credit", tmp_path / "changed", {DIGEST_TAG: "sha256:" + "0" * 64})
    registry.set_alias("credit", "champion", "4")
    companion._follow_registry()
    assert metrics(api)["fairmind_model_missing", "credit", "4"] == 1
    assert "digest" in api("GET", "/api/v1/models").json()["problems"]["credit/4"]
    registry.set_alias("credit", "champion", "1")
    companion._follow_registry()
    assert not any(key[0] == "fairmind_model_missing" for key in metrics(api))
