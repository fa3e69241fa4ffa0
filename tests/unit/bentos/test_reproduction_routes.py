"""One logged decision over HTTP: made again, explained, and its row shown to those who may see rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from access.scopes import Scope
from bentos.admission import needed_for
from bentos.companion import Companion
from bentos.explaining import Explaining
from inference.columns import columns_from_rows
from inference.loading import load_model
from monitoring.archive import Archive
from monitoring.feature_store import FeatureStore
from monitoring.predictions import SegmentWriter
from monitoring.shipper import Shipper
from tests.fakes.records import prediction_record
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.conftest import Credit

Api = Callable[..., httpx.Response]
NOW = time.time() - 3_600


@pytest.fixture
def rows(credit: Credit) -> list[dict[str, Any]]:
    return [one["features"] for one in credit.instances(30)]


@pytest.fixture
def logged(companion: Companion, credit: Credit, rows: list[dict[str, Any]]) -> str:
    """Thirty answered rows in log and archive; the id of the last one."""
    model = load_model(credit.folder / "fairmind")
    answered = model.predict(columns_from_rows(rows, model.signature), len(rows))
    scores = answered.scores(model.signature)
    assert scores is not None
    record = prediction_record(
        "r",
        len(rows),
        served_at=NOW,
        predictions=answered.prediction.tolist(),
        scores=scores.tolist(),
        features=rows,
        unit_hashes=["secret"] * len(rows),
    )
    home = companion.home
    writer = SegmentWriter(home.spool, segment_bytes=10_000_000, spool_bytes=100_000_000)
    writer.append([record])
    writer.close()
    Shipper(home.spool, companion.log, archives=True).ship()
    Archive(home.spool, companion.log, FeatureStore(home.features)).work()
    return "r-29"


def test_a_decision_is_made_again_and_shows_neither_its_row_nor_its_unit(
    api: Api, logged: str, rows: list[dict[str, Any]]
) -> None:
    answer = api("GET", f"/api/v1/predictions/{logged}/reproduction")
    made = answer.json()
    assert (answer.status_code, made["same"], made["reason"]) == (200, True, "")
    assert made["recomputed"]["rows"] == 1
    assert made["version"]["registered"] == "here"
    assert made["logged"]["has_unit"] is True
    assert "secret" not in answer.text
    assert str(rows[29]["amount"]) not in answer.text


def test_the_row_is_shown_on_a_route_of_its_own(api: Api, logged: str, rows: list[dict[str, Any]]) -> None:
    shown = api("GET", f"/api/v1/predictions/{logged}/features").json()
    assert shown == {"prediction_id": logged, "features": rows[29]}


def test_rows_are_shown_to_those_who_may_see_rows() -> None:
    assert needed_for("GET", "/api/v1/predictions/r-1/reproduction") == {Scope.READ}
    assert needed_for("GET", "/api/v1/predictions/r-1/features") == {Scope.BIAS}
    assert needed_for("GET", "//api/v1/predictions/r-1//features") == {Scope.BIAS}
    assert needed_for("POST", "/api/v1/explanations") == {Scope.BIAS}


def test_an_id_that_nobody_gave_is_404(api: Api) -> None:
    for asked in (
        ("GET", "/api/v1/predictions/nope-0/reproduction", None),
        ("GET", "/api/v1/predictions/nope-0/features", None),
        ("POST", "/api/v1/explanations", {"prediction_id": "nope-0"}),
    ):
        answer = api(asked[0], asked[1], json=asked[2])
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "prediction_not_found")


def test_a_deleted_version_is_an_answer_and_cannot_be_explained(
    api: Api, logged: str, registry: FakeRegistry
) -> None:
    registry.delete("credit", "1")
    made = api("GET", f"/api/v1/predictions/{logged}/reproduction").json()
    assert made["same"] is None
    assert "was deleted from the registry" in made["reason"]
    refused = api("POST", "/api/v1/explanations", json={"prediction_id": logged})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "not_explainable")


@pytest.mark.long  # shap takes seconds to import
def test_a_logged_prediction_is_explained_beside_those_before_it(
    api: Api, logged: str, companion: Companion, rows: list[dict[str, Any]]
) -> None:
    answer = api("POST", "/api/v1/explanations", json={"prediction_id": logged})
    assert answer.json()["error"]["code"] == "not_explainable"  # nothing came before, and there is no profile
    home = companion.home
    writer = SegmentWriter(home.spool, segment_bytes=10_000_000, spool_bytes=100_000_000)
    writer.append([prediction_record("before", 30, served_at=NOW - 60, features=rows)])
    writer.close()
    Shipper(home.spool, companion.log, archives=True).ship()
    Archive(home.spool, companion.log, FeatureStore(home.features)).work()
    answer = api("POST", "/api/v1/explanations", json={"prediction_id": logged})
    made = answer.json()["explanation"]
    assert answer.status_code == 200
    assert (made["background"], made["background_rows"], made["method"]) == ("logged", 30, "exact")
    assert {one["feature"]: one["value"] for one in made["contributions"]} == rows[29]
    assert made["additivity_error"] < 1e-9
    row = {"model": "credit/1", "features": rows[29]}
    beside = api("POST", "/api/v1/explanations", json=row).json()
    assert beside["prediction_id"] is None
    assert beside["explanation"]["score"] == made["score"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prediction_id": "r-1", "model": "credit/1", "features": {}},
        {"model": "credit/1"},
        {"features": {}},
        {"prediction_id": "r-1", "features": {"age": 1}},
    ],
)
def test_a_request_names_a_prediction_or_a_row(api: Api, body: dict[str, Any]) -> None:
    answer = api("POST", "/api/v1/explanations", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


def test_a_row_that_does_not_fit_is_refused_without_its_values(api: Api, logged: str) -> None:
    body = {"model": "credit/1", "features": {"age": "forty-two", "amount": 1.0, "job": "nurse"}}
    answer = api("POST", "/api/v1/explanations", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "signature_mismatch")
    assert "forty-two" not in answer.text


def test_one_is_explained_at_a_time(api: Api, logged: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Explaining.logged

    def twice(self: Explaining, found: Any) -> Any:
        with self._one:
            return held(self, found)

    monkeypatch.setattr(Explaining, "logged", twice)
    answer = api("POST", "/api/v1/explanations", json={"prediction_id": logged})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
