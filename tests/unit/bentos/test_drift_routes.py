"""`/api/v1/drift`: traffic beside what the version learned from, with gauges of the champion."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from bentos.companion import Companion
from monitoring.cells import category_profile, column_profile, count_scores, sparse
from monitoring.outcomes import Outcome, keep
from monitoring.predictions import SegmentWriter
from monitoring.profile import ReferenceProfile, ScoreProfile
from monitoring.refusal_records import RefusedRequests
from registry.digest import digest_folder
from registry.versions import DIGEST_TAG
from rollout.serving_store import follow_aliases, serving_epochs
from tests.fakes.records import prediction_record
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.conftest import Credit

Api = Callable[..., httpx.Response]
HOUR = timedelta(hours=1)
NOW = datetime.now(UTC)


def answered(credit: Credit, rows: int = 2_000, older: float = 0.0, served_at: datetime = NOW - HOUR) -> pa.Table:
    """Return archived rows of the credit model; `older` are years that everybody is older."""
    frame = credit.frame.sample(rows, replace=True, random_state=rows).assign(
        age=lambda found: found["age"] + older
    )
    score = credit.model.predict_proba(frame)[:, 1]
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for name, values in (
        ("fairmind.score", pa.array(score)),
        ("fairmind.prediction", pa.array(np.where(score >= 0.5, "1", "0"))),
        ("fairmind.served_at", pa.array([served_at] * rows, type=pa.timestamp("us", tz="UTC"))),
        ("fairmind.variant", pa.array(["champion"] * rows)),
    ):
        table = table.append_column(name, values)
    return table


def profile(credit: Credit) -> ReferenceProfile:
    table = answered(credit, 3_000)
    scores = table["fairmind.score"].to_numpy()
    decided = scores >= 0.5
    true = np.random.default_rng(0).random(len(scores)) < scores
    counts, positives = count_scores(scores, decided), count_scores(scores[true], decided[true])
    return ReferenceProfile(
        source="registered",
        feature_rows=3_000,
        scored_rows=3_000,
        classes=(0, 1),
        features={name: column_profile(table[name]) for name in credit.frame.columns},
        prediction=category_profile(table["fairmind.prediction"], ("0", "1")),
        outcome=category_profile(pa.array(true.astype(int)), ("0", "1")),
        score=ScoreProfile(
            counts=(sparse(counts[0]), sparse(counts[1])), positives=(sparse(positives[0]), sparse(positives[1]))
        ),
    )


@pytest.fixture
def served(companion: Companion, registry: FakeRegistry, credit: Credit, tmp_path: Path) -> Companion:
    """A Companion that serves a version with a profile, as the third of its model."""
    folder = tmp_path / "profiled"
    shutil.copytree(credit.folder, folder)
    profile(credit).save(folder / "fairmind")
    version = registry.register("credit", folder, {DIGEST_TAG: digest_folder(folder)})
    registry.set_alias("credit", "champion", version.version)
    seen = serving_epochs(companion.control)
    follow_aliases(companion.control, registry.aliased(), datetime.now(UTC), seen=seen)
    companion._follow_registry()
    return companion


def archive(companion: Companion, table: pa.Table, version: str = "4") -> None:
    with companion.log.begin() as connection:
        companion.drift_counts.archived(connection, "credit", version, table)


def test_traffic_like_the_reference_has_no_drift_and_an_estimate(
    served: Companion, credit: Credit, api: Api
) -> None:
    archive(served, answered(credit, 2_500))
    found = api("GET", "/api/v1/drift").json()
    assert (found["model"], found["model_version"], found["rows"]) == ("credit", "4", 2_500)
    assert found["against_profile"]["verdict"] == "no_drift"
    assert found["against_previous"] is None
    accuracy = found["performance"]["metrics"][0]
    assert accuracy["metric"] == "accuracy"
    assert accuracy["lower"] < accuracy["value"] < accuracy["upper"]
    assert accuracy["realised"] is None


def test_people_who_are_older_are_drift_beside_the_reference_and_the_window_before(
    served: Companion, credit: Credit, api: Api
) -> None:
    archive(served, answered(credit, served_at=NOW - 25 * HOUR))
    archive(served, answered(credit, older=30))
    found = api("GET", "/api/v1/drift", params={"model": "credit"}).json()
    for comparison in ("against_profile", "against_previous"):
        report = found[comparison]
        assert (report["verdict"], report["score_feature"]) == ("drift", "age")
        (age,) = (one for one in report["features"] if one["name"] == "age")
        assert age["shape"]["psi"] > 0.25
    before = api("GET", "/api/v1/drift", params={"until": (NOW - 24 * HOUR).isoformat()}).json()
    assert before["rows"] == 2_000


def test_a_version_without_a_profile_says_so(served: Companion, credit: Credit, api: Api) -> None:
    archive(served, answered(credit, served_at=NOW - 25 * HOUR), "1")
    archive(served, answered(credit), "1")
    found = api("GET", "/api/v1/drift", params={"version": "1"}).json()
    assert found["against_profile"] is None
    assert found["against_previous"]["verdict"] == "no_drift"
    assert found["performance"] is None
    assert "registered without a reference profile" in found["notes"][0]


def test_without_traffic_nothing_is_said(served: Companion, api: Api) -> None:
    found = api("GET", "/api/v1/drift").json()
    assert (found["rows"], found["against_profile"], found["performance"]) == (0, None, None)
    assert "nothing that this version answered" in found["notes"][0]


def test_outcomes_that_arrived_are_shown_beside_the_estimate(served: Companion, credit: Credit, api: Api) -> None:
    archive(served, answered(credit))
    segment = SegmentWriter(served.home.spool, segment_bytes=1_000_000, spool_bytes=10_000_000)
    served_at = (NOW - HOUR).timestamp()
    segment.append(
        [
            prediction_record(str(i), served_at=served_at, model_version="4", predictions=[i % 2], features=[])
            for i in range(300)
        ]
    )
    served._ship()
    outcomes = [Outcome(prediction_id=f"{i}-0", outcome=i % 2 if i % 3 else 1 - i % 2) for i in range(300)]
    keep(served.log, outcomes, NOW)
    found = api("GET", "/api/v1/drift").json()
    assert found["performance"]["outcomes"] == 300
    assert found["performance"]["metrics"][0]["realised"] == pytest.approx(2 / 3)
    assert found["against_profile"]["outcome"]["shape"]["rows"] == 300


def test_what_the_signature_refused_is_told_beside_what_was_answered(
    served: Companion, credit: Credit, api: Api
) -> None:
    segment = SegmentWriter(served.home.spool, segment_bytes=1_000_000, spool_bytes=10_000_000)
    refused = RefusedRequests(segment)
    for model, code, hours in (
        ("credit", "shape", 0),
        ("credit", "wrong_type", 1),
        ("credit", "shape", 30),
        ("x", "shape", 0),
    ):
        refused.note(model, code, (NOW - hours * HOUR).timestamp())
    refused.write(NOW.timestamp())
    segment.close()
    served.loops["shipper"][0]()
    assert api("GET", "/api/v1/drift").json()["refused"] == {
        "requests": 2,
        "codes": {"shape": 1, "wrong_type": 1},
    }
    archive(served, answered(credit))
    assert api("GET", "/api/v1/drift").json()["refused"]["requests"] == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"since": NOW.isoformat(), "until": (NOW - HOUR).isoformat()},
        {"since": "2001-01-01T00:00:00Z"},
        {"until": "0001-01-01T00:00:00Z"},
        {"until": "9999-12-31T23:59:59Z"},
        {"since": "yesterday"},
        {"until": str(NOW.timestamp())},
        {"colour": "red"},
    ],
)
def test_a_window_that_is_none_is_refused(served: Companion, api: Api, wrong: dict[str, Any]) -> None:
    answer = api("GET", "/api/v1/drift", params=wrong)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


def test_an_unknown_model_or_version_is_404(served: Companion, api: Api) -> None:
    for wrong in ({"model": "nope"}, {"model": "credit", "version": "99"}):
        answer = api("GET", "/api/v1/drift", params=wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_the_champions_drift_is_a_gauge_once_there_is_traffic(served: Companion, credit: Credit, api: Api) -> None:
    work = served.loops["drift"][0]
    work()
    assert "fairmind_drift_score_ratio{" not in api("GET", "/metrics").text
    archive(served, answered(credit, older=30))
    work()
    text = api("GET", "/metrics").text
    assert 'fairmind_drift_verdict{model="credit",verdict="drift"} 1.0' in text
    for feature in ("", "age", "amount", "job"):
        assert f'fairmind_drift_score_ratio{{model="credit",feature="{feature}"}}' in text
    assert 'fairmind_estimated_performance_ratio{model="credit",metric="accuracy"}' in text


def test_the_document_tells_of_the_route(api: Api) -> None:
    document = api("GET", "/api/v1/openapi.json").json()
    operation = document["paths"]["/api/v1/drift"]["get"]
    assert {parameter["name"] for parameter in operation["parameters"]} == {
        "model",
        "version",
        "variant",
        "since",
        "until",
    }
    assert "DriftAnswer" in document["components"]["schemas"]
