"""`/api/v1/replays`: a replay waits for its turn, runs on the log, is listed, shown, and put on its version."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from bentos.companion import Companion
from bentos.promotions import promote_version
from inference.columns import columns_from_rows
from inference.loading import load_model
from monitoring.archive import Archive
from monitoring.feature_store import FeatureStore
from monitoring.predictions import SegmentWriter
from monitoring.shipper import Shipper
from registry.errors import GateRefusedError
from registry.reference import Reference
from replay import store
from replay.attached import PLACE, TAG
from rollout.outbox import deliver
from rollout.replay_gate import ReplayGate
from rollout.tables import REPLAY
from tests.fakes.records import prediction_record
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.conftest import Credit

Api = Callable[..., httpx.Response]
REPLAYS = "/api/v1/replays"
GUARDRAIL = {"metric": "error_rate", "margin": 0.05}
PLAN = {"model": "credit", "steps": [{"weight": 0.1}], "guardrails": [GUARDRAIL]}


@pytest.fixture
def logged(companion: Companion, credit: Credit) -> Companion:
    """A deployment whose champion answered everybody an hour ago."""
    features = [row["features"] for row in credit.instances(400)]
    served = load_model(credit.folder / "fairmind")
    answers = served.predict(columns_from_rows(features, served.signature), len(features))
    writer = SegmentWriter(companion.home.spool, segment_bytes=10_000_000, spool_bytes=100_000_000)
    record = prediction_record(
        "r",
        len(features),
        served_at=datetime.now(UTC).timestamp() - 3600,
        features=features,
        predictions=answers.prediction.tolist(),
        scores=credit.probabilities(len(features)),
        unit_hashes=[f"{place:032x}" for place in range(len(features))],
    )
    writer.append([record])
    writer.close()
    Shipper(companion.home.spool, companion.log, archives=True).ship()
    Archive(companion.home.spool, companion.log, FeatureStore(companion.home.features)).work()
    return companion


def work(companion: Companion) -> None:
    companion.loops["replays"][0]()


def asked(api: Api, **body: Any) -> httpx.Response:
    return api("POST", REPLAYS, json={"model": "credit", **body})


def done(api: Api, companion: Companion, **body: Any) -> dict[str, Any]:
    answer = asked(api, **body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "queued"
    work(companion)
    found: dict[str, Any] = api("GET", answer.headers["location"]).json()
    return found


def test_a_replay_is_run_kept_listed_and_shown(api: Api, logged: Companion, registry: FakeRegistry) -> None:
    found = done(api, logged, window="2d", plan=PLAN)
    assert (found["state"], found["verdict"], found["rows"]) == ("done", "passed", 400)
    rows = found["result"]["rows"]
    assert (rows["checked"], rows["differing"], rows["rescored"]) == (400, 0, 0)
    assert (found["challenger_version"], found["against_version"]) == ("2", "1")
    assert [one["id"] for one in api("GET", REPLAYS, params={"model": "credit"}).json()["replays"]] == [found["id"]]
    page = api("GET", f"{REPLAYS}/{found['id']}/report")
    assert "Replay of credit, version 2" in page.text
    assert "nurse" not in page.text + json.dumps(found)  # a feature's value
    assert deliver(logged.control, registry, datetime.now(UTC)) == 0
    version = registry.find(Reference("credit", version="2"))
    assert json.loads(version.tags[TAG])["id"] == found["id"]
    assert (Path(version.source) / PLACE / f"{found['id']}.html").read_text() == page.text


def test_a_replay_whose_end_could_not_be_written_is_taken_up_again(
    api: Api, companion: Companion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise OSError("the database is away")

    work(companion)
    answer = asked(api)
    with monkeypatch.context() as patched:
        patched.setattr(store, "fail", away)
        with pytest.raises(OSError, match="away"):
            work(companion)
    assert api("GET", answer.headers["location"]).json()["state"] == "running"
    work(companion)
    assert api("GET", answer.headers["location"]).json()["state"] == "failed"


def test_a_replay_whose_versions_are_others_by_its_turn_fails(api: Api, companion: Companion) -> None:
    answer = asked(api)
    with companion.control.begin() as connection:
        connection.execute(update(REPLAY).values(challenger_digest="sha256:other"))
    work(companion)
    assert "credit/2 has other files than when" in api("GET", answer.headers["location"]).json()["reason"]


def test_what_cannot_be_replayed_fails_with_the_reason(api: Api, companion: Companion) -> None:
    found = done(api, companion)
    assert found["state"] == "failed"
    assert "answered nothing in the window" in found["reason"]
    answer = api("GET", f"{REPLAYS}/{found['id']}/report")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_report")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"version": "9"}, 404, "model_not_found"),
        ({"version": "2", "alias": "challenger"}, 422, "invalid_request"),
        ({"window": "soon"}, 422, "invalid_request"),
        ({"plan": {**PLAN, "model": "other"}}, 422, "invalid_request"),
        ({"plan": {}}, 422, "invalid_plan"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused(api: Api, body: dict[str, Any], status: int, code: str) -> None:
    answer = asked(api, **body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_plan_that_asks_for_a_replay_is_refused_without_one(api: Api, logged: Companion) -> None:
    plan = {**PLAN, "replay": {"window": "2d", "must_pass": True}}
    refused = api("POST", "/api/v1/rollouts", json=plan)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "replay_refused")
    assert (
        "`fairmind replay --model credit/2 --against credit/1 --window 2d --plan PLAN.yaml`"
        in refused.json()["error"]["message"]
    )
    done(api, logged, window="1d", plan=PLAN)
    assert api("POST", "/api/v1/rollouts", json=plan).status_code == 409  # it covers a day of the two
    done(api, logged, window="3d", plan=PLAN)
    assert api("POST", "/api/v1/rollouts", json=plan).status_code == 201


def test_a_promotion_that_requires_a_replay_is_refused_without_one(
    api: Api, logged: Companion, registry: FakeRegistry
) -> None:
    def promote(override: str | None = None) -> bool:
        return promote_version(
            logged.control,
            registry,
            Reference("credit", version="2"),
            alias="champion",
            override=override,
            actor="ada",
            now=datetime.now(UTC),
            replay=ReplayGate(),
        ).overridden

    with pytest.raises(
        GateRefusedError, match=r"credit/2 was not promoted: .*was not replayed beside credit/1 on 30d"
    ):
        promote()
    done(api, logged, plan=PLAN)
    with pytest.raises(GateRefusedError, match="was not replayed"):  # but by guardrails of somebody's
        promote()
    done(api, logged)
    with logged.control.begin() as connection:  # without outcomes it would be insufficient data
        connection.execute(update(REPLAY).values(verdict="inconclusive"))
    assert promote() is False


def test_an_override_promotes_without_the_replay_that_is_required(
    logged: Companion, registry: FakeRegistry
) -> None:
    promotion = promote_version(
        logged.control,
        registry,
        Reference("credit", version="2"),
        alias="champion",
        override="no traffic yet",
        actor="ada",
        now=datetime.now(UTC),
        replay=ReplayGate(),
    )
    assert promotion.overridden
    assert promotion.version.tags["fairmind.override.reason"] == "no traffic yet"
