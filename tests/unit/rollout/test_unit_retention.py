"""Units of rollouts that ended long ago are forgotten; running rollouts and all counts keep what they have."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from database.engine import reading
from rollout import unit_retention
from rollout.evidence_tables import ROLLOUT_PAIR, ROLLOUT_UNIT
from rollout.tables import ROLLOUT
from rollout.unit_retention import forget_units
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for
from tests.unit.rollout.evidence_home import ROLLOUT as ID
from tests.unit.rollout.evidence_home import SERVED, EvidenceHome, answered, begun, pair

DAY = timedelta(days=1)


@pytest.fixture(params=BOTH_ENGINES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EvidenceHome]:
    with engine_asked_for(request, tmp_path / "log.db", "log") as engine:
        yield EvidenceHome(tmp_path, engine)


def started(control: Engine, **changes: Any) -> None:
    values = {"id": ID, "model": "credit", "state": "canary", "version": 1, "weight_bp": 0, "salt": "s", "plan": {}}
    values |= {"champion_version": "1", "challenger_version": "2", "created_by": "ann", "created_at": SERVED}
    with control.begin() as connection:
        connection.execute(insert(ROLLOUT), values | changes)


def kept(home: EvidenceHome) -> int:
    with reading(home.engine) as connection:
        tables = (ROLLOUT_UNIT, ROLLOUT_PAIR)
        return sum(len(connection.execute(select(table.c.unit)).all()) for table in tables)


@pytest.fixture
def filled(home: EvidenceHome) -> EvidenceHome:
    for number in range(5):
        begin = begun(f"a{number}", f"u{number}")
        home.ship(begin, answered(begin))
    home.show(pair("a0-0"))
    return home


def test_units_of_a_rollout_that_ended_long_ago_are_forgotten_in_steps_and_its_counts_stay(
    filled: EvidenceHome, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_retention, "_ROWS_AT_ONCE", 2)
    started(engine, finished_at=SERVED)
    evidence = filled.evidence()
    assert [forget_units(filled.engine, engine, SERVED + DAY) for _ in range(5)] == [2, 2, 1, 1, 0]
    assert kept(filled) == 0
    assert filled.evidence() == evidence


def test_a_running_rollout_and_one_that_ended_lately_keep_their_units(filled: EvidenceHome, engine: Engine) -> None:
    started(engine)
    started(engine, id="r-2", model="other", finished_at=SERVED)
    assert forget_units(filled.engine, engine, SERVED + DAY) == 0
    assert forget_units(filled.engine, engine, SERVED) == 0
    assert kept(filled) == 6
