"""Replays wait for their turn, end once, survive their process, and reach the registry when it is there."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from registry.digest import digest_folder
from registry.reference import Reference
from registry.versions import DIGEST_TAG
from replay import store
from replay.attached import PLACE, TAG, attach
from replay.errors import NoReplayReportError, ReplayNotFoundError, ReplayQueueFullError
from replay.result import ReplayResult
from replay.store import Asked, ReplayState
from rollout.errors import ReplayGateError
from rollout.guardrail import Guardrail, Metric, Verdict
from rollout.outbox import Kind, deliver, post
from rollout.plan import Plan
from rollout.replay_gate import ReplayGate
from rollout.replayed import check_replay
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for, migrated_engine
from tests.fakes.registry import FakeRegistry
from tests.unit.replay.replay_home import NOW, ReplayHome, answered, contender

DAY = timedelta(days=1)


@pytest.fixture(params=BOTH_ENGINES)
def control(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with engine_asked_for(request, tmp_path / "fairmind.db", "control") as engine:
        yield engine


def asked(replay_id: str, **changes: Any) -> Asked:
    values: dict[str, Any] = {
        "id": replay_id,
        "challenger": contender("2").version,
        "against": contender("1").version,
        "since": NOW - 30 * DAY,
        "until": NOW,
        "actor": "ada",
        "request": {"model": "credit"},
    }
    return Asked(**values | changes)


@pytest.fixture
def result(tmp_path: Path) -> ReplayResult:
    home = ReplayHome(tmp_path, migrated_engine(tmp_path / "predictions.db", "log"))
    home.serve(answered("a", [0.9] * 50))
    return home.replay(contender("2"))


def test_replays_are_run_in_their_order_and_end_once(control: Engine, result: ReplayResult) -> None:
    for number in (1, 2):
        store.submit(control, asked(f"rp-{number}"), limit=2, now=NOW + number * DAY)
    with pytest.raises(ReplayQueueFullError):
        store.submit(control, asked("rp-3"), limit=2, now=NOW)
    first, request = store.take(control, NOW) or pytest.fail("one waits")
    assert (first.id, request) == ("rp-1", {"model": "credit"})
    store.touch(control, "rp-1", 0.5, NOW)
    assert store.find(control, "rp-1")[0].progress == 0.5
    with pytest.raises(NoReplayReportError, match="it is running"):
        store.result_of(control, "rp-1")
    with control.begin() as connection:
        assert store.change(connection, "rp-1", store.outcome_of(result, NOW))
        assert not store.change(connection, "rp-1", {"progress": 0.1})
    assert store.result_of(control, "rp-1") == result
    assert [one.id for one in store.listed(control, model="credit")] == ["rp-2", "rp-1"]
    assert store.listed(control, model="other") == []
    store.take(control, NOW)
    assert store.take(control, NOW) is None
    with pytest.raises(ReplayNotFoundError):
        store.find(control, "rp-9")


def test_what_its_process_left_is_taken_up_once_more_and_then_given_up(control: Engine) -> None:
    store.submit(control, asked("rp-1"), limit=1, now=NOW)
    for ended in (ReplayState.QUEUED, ReplayState.FAILED):
        store.take(control, NOW)
        store.recover(control, untouched_since=NOW - DAY, now=NOW)
        assert store.find(control, "rp-1")[0].state is ReplayState.RUNNING
        store.recover(control, untouched_since=NOW, now=NOW)
        assert store.find(control, "rp-1")[0].state is ended


def test_a_result_waits_for_a_registry_that_is_away_and_leaves_the_digest_alone(
    control: Engine, result: ReplayResult, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    registry = FakeRegistry()
    for _ in range(2):
        registry.register("credit", folder)
    registry.away = True
    with control.begin() as connection:
        attach(connection, result, NOW)
    before = digest_folder(folder)
    assert deliver(control, registry, NOW) == 2
    registry.away = False
    assert deliver(control, registry, NOW) == 1  # a file is not asked for again at once
    assert deliver(control, registry, NOW + timedelta(seconds=1)) == 0
    assert TAG in registry.find(Reference("credit", version="2")).tags
    assert (folder / PLACE / "rp-1.html").is_file()
    assert digest_folder(folder) == before


def test_a_registry_that_takes_no_files_gets_the_tag_alone(
    control: Engine, result: ReplayResult, tmp_path: Path
) -> None:
    registry = FakeRegistry()
    for _ in range(2):
        registry.register("credit", tmp_path)
    registry.read_only = True
    with control.begin() as connection:
        attach(connection, result, NOW)
    left = [deliver(control, registry, NOW + timedelta(seconds=2**attempt)) for attempt in range(18)]
    assert left == [1] * 17 + [0]  # it may be away for a while alone
    assert TAG in registry.find(Reference("credit", version="2")).tags


def test_a_report_that_finds_no_place_keeps_nobody_from_moving_an_alias(
    control: Engine, result: ReplayResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    registry = FakeRegistry()
    for _ in range(2):
        registry.register("credit", tmp_path)
    monkeypatch.setattr(registry, "add_files", no_space)
    tag = {"version": "2", "key": "later", "value": "than the report"}
    with control.begin() as connection:
        attach(connection, result, NOW)
        post(connection, Kind.TAG, key="later", model="credit", payload=tag, now=NOW)
    assert deliver(control, registry, NOW) == 1
    assert "later" in registry.find(Reference("credit", version="2")).tags


@pytest.mark.parametrize(
    ("verdict", "must_pass", "refused"),
    [
        ("passed", True, None),
        ("inconclusive", False, None),
        ("inconclusive", True, "is inconclusive"),
        ("violated", False, "is violated"),
        ("insufficient_data", False, "is insufficient data"),
    ],
)
def test_a_gate_reads_the_newest_replay_of_the_very_versions(
    control: Engine, result: ReplayResult, verdict: str, must_pass: bool, refused: str | None
) -> None:
    gate = ReplayGate(must_pass=must_pass)
    challenger, against = contender("2").version, contender("1").version
    found = result.model_copy(update={"verdict": Verdict(verdict)})
    older = result.model_copy(update={"verdict": Verdict.VIOLATED if refused is None else Verdict.PASSED})
    with control.begin() as connection:
        store.keep(connection, asked("rp-0"), older, NOW - DAY)
        store.keep(connection, asked("rp-1"), found, NOW)
        store.keep(connection, asked("rp-2", since=NOW - DAY), older, NOW + DAY)  # of less traffic
    if refused is None:
        check_replay(control, gate, challenger, against, NOW)
    else:
        with pytest.raises(ReplayGateError, match=f"'rp-1' of credit/2 beside credit/1 {refused}"):
            check_replay(control, gate, challenger, against, NOW)
    with pytest.raises(ReplayGateError, match="older than 7d"):
        check_replay(control, gate, challenger, against, NOW + 8 * DAY)
    other = contender("2", **{DIGEST_TAG: "sha256:other"}).version
    with pytest.raises(ReplayGateError, match="was not replayed"):
        check_replay(control, gate, other, against, NOW)


def test_a_gate_of_a_plan_reads_what_was_judged_by_its_guardrails(control: Engine, result: ReplayResult) -> None:
    def check(margin: float, maturity: str = "7d") -> None:
        judged_by = {"guardrails": [{"metric": "error_rate", "margin": margin}], "label_maturity": maturity}
        plan = Plan.parse({"model": "credit", "steps": [{"weight": 0.1}], **judged_by})
        check_replay(control, ReplayGate(), challenger, against, NOW, plan=plan)

    challenger, against = contender("2").version, contender("1").version
    lax = (Guardrail(metric=Metric.ERROR_RATE, margin=0.9),)
    passed = result.model_copy(update={"verdict": Verdict.PASSED, "planned": True, "guardrails": lax})
    with control.begin() as connection:
        store.keep(connection, asked("rp-1"), passed, NOW)
    check(0.9)
    with pytest.raises(ReplayGateError, match=r"was not replayed .*--plan PLAN\.yaml` replays it"):
        check(0.1)
    with pytest.raises(ReplayGateError, match="was not replayed"):
        check(0.9, "1d")
    with pytest.raises(ReplayGateError, match="was not replayed"):
        check_replay(control, ReplayGate(), challenger, against, NOW)
    harmed = result.model_copy(update={"verdict": Verdict.VIOLATED})
    with control.begin() as connection:
        store.keep(connection, asked("rp-0"), harmed, NOW - DAY)
    with pytest.raises(ReplayGateError, match=r"'rp-0' .* is violated"):
        check(0.1)
