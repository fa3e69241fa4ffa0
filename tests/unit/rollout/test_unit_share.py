"""How much of a model's traffic carries a unit is said before a rollout begins."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rollout.unit_share import UnitShare, unit_share
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for
from tests.unit.rollout.evidence_home import SERVED, EvidenceHome, answered, begun

DAY = timedelta(days=1)


@pytest.fixture(params=BOTH_ENGINES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EvidenceHome]:
    with engine_asked_for(request, tmp_path / "log.db", "log") as engine:
        yield EvidenceHome(tmp_path, engine)


def share(home: EvidenceHome) -> UnitShare:
    return unit_share(home.engine, "credit", SERVED, SERVED + DAY)


def served(home: EvidenceHome, name: str, units: list[str | None] | None, rows: int = 1, **changes: Any) -> None:
    begin = begun(name, positions=list(range(rows)), cohorts=[None] * rows, protected=None)
    home.ship(answered(begin, unit_hashes=units, cohorts=None, **changes))


def test_rows_with_a_unit_are_told_from_those_without(home: EvidenceHome) -> None:
    assert share(home) == UnitShare(0, 0)
    assert share(home).share is None
    served(home, "a", ["u"])
    served(home, "b", None)
    served(home, "c", ["u", None], rows=2)
    assert share(home) == UnitShare(4, 2)
    assert share(home).share == 0.5


def test_other_times_other_models_and_versions_asked_for_by_number_are_left_out(home: EvidenceHome) -> None:
    served(home, "a", ["u"], served_at=(SERVED + DAY).timestamp())
    served(home, "b", ["u"], model="other")
    served(home, "c", ["u"], variant=None)
    assert share(home) == UnitShare(0, 0)


def test_rows_of_bulk_requests_are_counted_too(home: EvidenceHome) -> None:
    served(home, "a", ["u"] * 600 + [None] * 600, rows=1_200)
    served(home, "b", None, rows=1_200)
    assert share(home) == UnitShare(2_400, 600)
