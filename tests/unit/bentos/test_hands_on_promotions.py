"""A promotion that waits for the registry, and what somebody decides by hand meanwhile: hands win, and are seen."""

from __future__ import annotations

import html
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from bentos.promotions import promote_version, roll_back
from database.engine import reading
from monitoring.exposition import StateMetrics
from registry.errors import GateRefusedError
from registry.reference import Reference
from rollout.approvals import promote_guarded
from rollout.controller import Controller
from rollout.gauges import set_rollout_gauges
from rollout.report import report
from rollout.rollout_views import told
from rollout.tables import OUTBOX
from tests.fakes.databases import migrated_engine
from tests.unit.rollout.steering import CANARY, Steering, credit_registry

Decided = tuple[Steering, Controller]


@pytest.fixture
def decided(tmp_path: Path) -> Iterator[Decided]:
    """A rollout that was promoted while the registry was away: version 2 serves, the alias is at 1."""
    control, log = (migrated_engine(tmp_path / f"{tree}.db", tree) for tree in ("control", "log"))
    steering = Steering(control, log, credit_registry(tmp_path))
    steering.start(**CANARY)
    controller = steering.controller()
    assert steering.tick(controller) == "canary"
    steering.see()
    assert steering.tick(controller) == "promoting"
    steering.registry.away = True
    assert steering.tick(controller) == "promoted"
    assert not controller.deliver(steering.now)
    steering.registry.away = False
    assert (steering.served().champion.version, steering.champion()) == ("2", "1")
    yield steering, controller
    control.dispose()
    log.dispose()


def promote(steering: Steering, version: str) -> None:
    reference = Reference("credit", version=version)
    control, registry, now = steering.control, steering.registry, steering.now
    promote_version(control, registry, reference, alias="champion", override=None, actor="bob", now=now)


def problem(steering: Steering) -> str | None:
    with reading(steering.control) as connection:
        return connection.execute(select(OUTBOX.c.problem).where(OUTBOX.c.kind == "promote")).scalar_one()


def settled(steering: Steering, controller: Controller) -> tuple[str, str]:
    """Return what serves and what the alias says after everything that waits was done."""
    assert controller.deliver(steering.now)
    steering.follow()
    return steering.served().champion.version, steering.champion()


def test_a_version_promoted_by_hand_stays_champion_though_a_promotion_waits(decided: Decided) -> None:
    steering, controller = decided
    promote(steering, "3")
    assert steering.served().champion.version == "3"
    assert settled(steering, controller) == ("3", "3")
    assert "superseded" in str(problem(steering))


def test_a_promotion_by_hand_that_a_gate_refuses_leaves_the_one_that_waits(decided: Decided) -> None:
    steering, controller = decided
    with pytest.raises(GateRefusedError):
        promote(steering, "4")
    assert settled(steering, controller) == ("2", "2")


def test_a_rollback_by_hand_goes_back_to_before_the_rollout_whose_promotion_waits(decided: Decided) -> None:
    steering, controller = decided
    steering.registry.set_alias("credit", "previous_champion", "3")
    promotion = roll_back(steering.control, steering.registry, "credit", actor="bob", now=steering.now)
    assert promotion.version.version == "1"
    assert steering.served().champion.version == "1"
    assert settled(steering, controller) == ("1", "1")


def test_a_rollback_of_an_alias_that_moved_before_it_was_noted_moves_it_back(decided: Decided) -> None:
    steering, controller = decided
    steering.registry.set_alias("credit", "champion", "2")
    roll_back(steering.control, steering.registry, "credit", actor="bob", now=steering.now)
    assert settled(steering, controller) == ("1", "1")


def test_what_was_superseded_while_the_outbox_was_at_work_is_left_undone(
    decided: Decided, monkeypatch: pytest.MonkeyPatch
) -> None:
    steering, controller = decided
    tag, rolled = steering.registry.set_tag, []

    def rolls_back(*what: str) -> None:
        tag(*what)
        if not rolled:
            rolled.append(what)
            roll_back(steering.control, steering.registry, "credit", actor="bob", now=steering.now)

    with steering.control.begin() as connection:  # so that the tag comes before the promotion
        connection.execute(OUTBOX.update().where(OUTBOX.c.kind == "tag").values(id=0))
    monkeypatch.setattr(steering.registry, "set_tag", rolls_back)
    assert settled(steering, controller) == ("1", "1")
    assert rolled


def test_an_alias_moved_by_hand_is_not_overwritten_and_the_problem_is_seen(
    decided: Decided, caplog: pytest.LogCaptureFixture
) -> None:
    steering, controller = decided
    steering.registry.set_alias("credit", "champion", "3")
    assert not controller.deliver(steering.now)
    assert not controller.deliver(steering.now)
    assert steering.champion() == "3"
    assert "moved by somebody else" in str(problem(steering))
    assert caplog.text.count("moved by somebody else") == 1
    steering.registry.set_alias("credit", "champion", "1")
    assert settled(steering, controller) == ("2", "2")


def test_a_promotion_that_waits_is_told_to_whoever_looks_with_what_to_do(decided: Decided) -> None:
    steering, controller = decided
    control, registry, rollout_id = steering.control, steering.registry, steering.rollout_id
    registry.set_alias("credit", "champion", "3")
    assert not controller.deliver(steering.now)
    later = steering.now + timedelta(minutes=20)
    shown, page = told(control, rollout_id)["promotion"], report(control, registry, rollout_id, later)
    for words in ("it is at 3, and was at 1", "fairmind models promote credit/2"):
        assert words in shown["told"]
        assert words in html.unescape(page)
    assert shown["attempts"] >= 1
    assert waiting_seconds(steering, later) == {("credit",): 1_200.0}
    promote(steering, "3")
    assert told(control, rollout_id)["promotion"] is None
    assert "Waits for the registry" not in report(control, registry, rollout_id, later)
    assert waiting_seconds(steering, later) == {}


def waiting_seconds(steering: Steering, now: datetime) -> dict[tuple[str, ...], float]:
    state = StateMetrics()
    set_rollout_gauges(steering.control, state, now)
    return dict(state.promotion_waiting.values)


def test_who_promotes_knowing_that_the_alias_was_moved_moves_it_on(tmp_path: Path) -> None:
    control, log = (migrated_engine(tmp_path / f"{tree}.db", tree) for tree in ("control", "log"))
    steering = Steering(control, log, credit_registry(tmp_path))
    steering.start(**CANARY)
    controller = steering.controller()
    steering.tick(controller)
    steering.registry.set_alias("credit", "champion", "3")
    steering.follow()
    assert steering.state() == "paused"
    promote_guarded(control, steering.rollout_id, override="3 was a mistake", actor="bob", now=steering.now)
    assert settled(steering, controller) == ("2", "2")
    control.dispose()
    log.dispose()
