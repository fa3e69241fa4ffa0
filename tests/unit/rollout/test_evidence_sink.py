"""Of each unit one prediction is evidence, counted once, in whatever order and pieces the log is shipped."""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from database.engine import reading
from monitoring.attributes import AttributeRecord, keep_attributes
from monitoring.tables import EXPOSURE
from rollout.evidence_tables import ROLLOUT_UNIT
from rollout.evidence_tally import MOST_GROUPS
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for, migrated_engine
from tests.unit.monitoring.test_exactly_once import killed_at
from tests.unit.rollout.evidence_home import (
    FAST,
    SERVED,
    STEPS,
    EvidenceHome,
    answered,
    begun,
    failed,
    lines_of,
    plan,
)


@pytest.fixture(params=BOTH_ENGINES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EvidenceHome]:
    with engine_asked_for(request, tmp_path / "log.db", "log") as engine:
        yield EvidenceHome(tmp_path, engine)


def test_a_unit_is_assigned_when_it_is_exposed_and_counted_when_it_is_answered(home: EvidenceHome) -> None:
    begin = begun("a", arm="challenger")
    home.ship(begin)
    assert home.units("challenger")[:2] == (1, 0)
    assert home.cells("error_rate") == {}
    home.ship(answered(begin, 1))
    assert home.units("challenger")[:2] == home.units("challenger", "sex", "f")[:2] == (1, 1)
    assert home.cells("error_rate") == {(0, "challenger", "", ""): (1, 0)}
    assert home.cells("dp_diff:sex") == {(0, "challenger", "", "f"): (1, 1)}
    assert home.evidence().watermark == SERVED


def test_only_the_first_prediction_of_a_unit_is_evidence(home: EvidenceHome) -> None:
    first, later = begun("a"), begun("b", epoch=2)
    home.ship(first, answered(first, 1), later, answered(later, 0))
    home.ship(later, failed(later))
    assert home.cells("dp_diff:sex") == {(0, "control", "", "f"): (1, 1)}
    assert home.cells("error_rate") == {(0, "control", "", ""): (1, 0)}
    assert home.evidence().crossed == 0


def test_a_row_that_got_no_answer_is_an_error_and_says_nothing_else(home: EvidenceHome) -> None:
    begin = begun("a")
    home.ship(begin, failed(begin, "timeout"), failed(begin, "error"))
    assert home.cells("error_rate") == {(0, "control", "", ""): (1, 1)}
    assert home.cells("dp_diff:sex") == {}
    assert home.units()[:2] == (1, 1)


def test_a_row_that_another_variants_failure_kept_from_its_answer_is_no_error(home: EvidenceHome) -> None:
    begin = begun("a")
    home.ship(begin, failed(begin, "beside"))
    assert home.cells("error_rate") == {(0, "control", "", ""): (1, 0)}
    assert home.cells("dp_diff:sex") == {}
    assert home.units()[:2] == (1, 1)


def test_what_a_changed_remote_server_answered_says_nothing_of_the_registered_version(home: EvidenceHome) -> None:
    begin = begun("a")
    home.ship(begin, replace(answered(begin, 1), model_version=f"{begin.model_version}@4"))
    assert home.cells("error_rate") == {(0, "control", "", ""): (1, 0)}
    assert home.cells("dp_diff:sex") == {}


def test_a_unit_in_two_arms_of_one_epoch_has_crossed_once(home: EvidenceHome) -> None:
    home.ship(begun("a"), begun("b", arm="challenger", epoch=2), begun("c", epoch=3), begun("d", arm="challenger"))
    assert home.evidence().crossed == 1
    home.ship(begun("e", arm="challenger", epoch=3))
    assert home.evidence().crossed == 1


def test_a_unit_may_change_its_arm_with_the_epoch_and_crosses_in_a_later_one(home: EvidenceHome) -> None:
    home.ship(begun("a"), begun("b", arm="challenger", epoch=2))
    assert home.evidence().crossed == 0
    home.ship(begun("c", arm="control", epoch=2))
    assert home.evidence().crossed == 1


def test_rows_without_a_unit_are_evidence_only_where_requests_are_analysed(home: EvidenceHome) -> None:
    alone = begun("a", unit=None, positions=[0, 1], unit_hashes=[None, None], cohorts=["control"] * 2)
    alone = replace(alone, protected=[None, None])
    home.ship(alone, answered(alone))
    assert home.evidence().units == {}
    home.plan = plan(*FAST, unit="request")
    known = begun("b")
    alone = replace(alone, request_id="c")
    home.ship(alone, answered(alone), known, answered(known))
    assert home.units()[:2] == (2, 2)
    assert home.cells("dp_diff:sex") == {(0, "control", "", "unknown"): (2, 2)}


def test_a_repeat_is_no_evidence_and_leaves_its_unit_to_the_next_row(home: EvidenceHome) -> None:
    old = begun("a", unit="somebody", rollout_id="other")
    home.ship(old, answered(old, caller_ids=["x"]))
    repeat, begin = begun("b"), begun("c")
    home.ship(repeat, answered(repeat, 1, caller_ids=["x"]))
    assert home.units()[:2] == (1, 0)
    home.ship(answered(begin, 0))
    assert home.units()[:2] == (1, 1)
    assert home.cells("dp_diff:sex") == {(0, "control", "", "f"): (1, 0)}


def test_a_rollout_without_a_plan_that_watches_anything_has_no_evidence(home: EvidenceHome) -> None:
    other = begun("a", rollout_id="r-2")
    unsplit = begun("b", rollout_id=None)
    home.ship(other, answered(other), unsplit, answered(unsplit))
    with reading(home.engine) as connection:
        assert connection.execute(select(func.count()).select_from(ROLLOUT_UNIT)).scalar_one() == 0
        assert connection.execute(select(func.count()).select_from(EXPOSURE)).scalar_one() == 2


def test_what_was_served_under_an_epoch_of_no_step_is_left_out(home: EvidenceHome) -> None:
    begin = begun("a", epoch=7)
    home.ship(begin, answered(begin))
    assert home.evidence().units == {}


def test_attributes_are_those_of_the_row_else_of_its_unit_else_unknown(home: EvidenceHome) -> None:
    told = AttributeRecord(unit="u", protected={"sex": "m"})
    keep_attributes(home.engine, [told], str)
    for number, (unit, own) in enumerate([("u", None), ("v", {"sex": "f"}), ("w", None), ("x", {"sex": None})]):
        begin = begun(f"a{number}", unit, protected=[own])
        home.ship(begin, answered(begin))
    assert home.cells("dp_diff:sex") == {
        (0, "control", "", "m"): (1, 1),
        (0, "control", "", "f"): (1, 1),
        (0, "control", "", "unknown"): (2, 2),
    }
    assert home.units(attribute="sex", group="unknown")[:2] == (2, 2)


def test_groups_beyond_those_that_are_told_apart_are_counted_together(home: EvidenceHome) -> None:
    for start in (0, 60):
        lines = [begun(f"a{i}", f"u{i}", protected=[{"sex": f"g{i}"}]) for i in range(start, start + 60)]
        home.ship(*(line for begin in lines for line in (begin, answered(begin))))
    cells = home.cells("dp_diff:sex")
    assert len(cells) == MOST_GROUPS + 1
    assert cells[0, "control", "", "other"] == (120 - MOST_GROUPS, 120 - MOST_GROUPS)


def test_bulk_rows_are_evidence_like_any_other(home: EvidenceHome) -> None:
    rows = 1_500
    units = [f"u{i % 40}" for i in range(rows)]
    begin = begun(
        "a",
        positions=list(range(rows)),
        unit_hashes=units,
        cohorts=["control"] * rows,
        protected=[{"sex": "fm"[i % 2]} for i in range(rows)],
    )
    home.ship(answered(begin, 1))
    assert home.units()[:2] == (40, 40)
    assert home.cells("dp_diff:sex") == {(0, "control", "", "f"): (20, 20), (0, "control", "", "m"): (20, 20)}


@dataclass(frozen=True)
class Served:
    unit: str
    arm: str
    epoch: int
    end: str
    prediction: int
    sex: str | None


SERVED_ROWS = st.builds(
    Served,
    st.sampled_from(["u", "v", "w"]),
    st.sampled_from(["control", "challenger"]),
    st.sampled_from([1, 2, 3, 9]),
    st.sampled_from(["ok", "ok", "ok", "error", ""]),
    st.sampled_from([0, 1]),
    st.sampled_from(["f", "m", None]),
)


def expected(rows: list[Served], order: list[tuple[int, bool]]) -> dict[str, Any]:
    """Return what is counted of rows whose lines, (row, whether it ends), are shipped in this order."""
    counts: dict[str, Counter[Any]] = {"assigned": Counter(), "completed": Counter(), "errors": Counter()}
    counts |= {"answers": Counter(), "selected": Counter()}
    crossed = 0
    for unit in {row.unit for row in rows}:
        shown = [(number, is_end) for number, is_end in order if rows[number].unit == unit]
        if not shown:
            continue
        number = shown[0][0]
        row = rows[number]
        seen = row
        for other in (rows[number] for number, _ in shown):
            if any(known.epoch == other.epoch and known.arm != other.arm for known in (row, seen)):
                crossed += other.epoch in STEPS
                break
            seen = max(seen, other, key=lambda one: one.epoch)
        if row.epoch not in STEPS:
            continue
        where = STEPS[row.epoch], row.arm
        counts["assigned"][where] += 1
        if (number, True) in shown:
            counts["completed"][where] += 1
            counts["errors"][where] += row.end == "error"
            if row.end == "ok":
                counts["answers"][(*where, row.sex or "unknown")] += 1
                counts["selected"][(*where, row.sex or "unknown")] += row.prediction
    return {name: +found for name, found in counts.items()} | {"crossed": crossed}


def counted(home: EvidenceHome) -> dict[str, Any]:
    evidence = home.evidence()
    over_all = {key: count for key, count in evidence.units.items() if not key.attribute}
    errors, dp = evidence.cells["error_rate"], evidence.cells["dp_diff:sex"]
    found = {
        "assigned": Counter({(key.step, key.arm): count.assigned for key, count in over_all.items()}),
        "completed": Counter({(key.step, key.arm): count.completed for key, count in over_all.items()}),
        "errors": Counter({(key.step, key.arm): int(cell.total) for key, cell in errors.items()}),
        "answers": Counter({(key.step, key.arm, key.group): cell.n for key, cell in dp.items()}),
        "selected": Counter({(key.step, key.arm, key.group): int(cell.total) for key, cell in dp.items()}),
    }
    assert all(cell.total == cell.squares for cell in (*errors.values(), *dp.values()))
    completed = Counter({(key.step, key.arm): cell.n for key, cell in errors.items()})
    assert +completed == +found["completed"]
    return {name: +each for name, each in found.items()} | {"crossed": evidence.crossed}


def drawn_lines(data: st.DataObject, rows: list[Served]) -> list[tuple[int, bool, Any]]:
    """Return the lines of rows in any order: the row, whether it is its end, and the line."""
    lines = [
        (number, bool(is_end), line)
        for number, row in enumerate(rows)
        for is_end, line in enumerate(
            lines_of(
                begun(f"a{number}", row.unit, row.arm, epoch=row.epoch, protected=[{"sex": row.sex}]),
                row.end,
                row.prediction,
            )
        )
    ]
    return list(data.draw(st.permutations(lines)))


@settings(max_examples=20)
@given(data=st.data(), rows=st.lists(SERVED_ROWS, min_size=1, max_size=8))
def test_in_any_order_and_pieces_the_counts_are_those_of_the_rows(data: st.DataObject, rows: list[Served]) -> None:
    lines = drawn_lines(data, rows)
    cuts = [0, *sorted(data.draw(st.sets(st.integers(1, len(lines)), max_size=3))), len(lines)]
    with tempfile.TemporaryDirectory() as folder:
        home = EvidenceHome(Path(folder), migrated_engine(Path(folder) / "log.db", "log"))
        for start, end in itertools.pairwise(cuts):
            home.ship(*(line for _, _, line in lines[start:end]))
        assert counted(home) == expected(rows, [(number, is_end) for number, is_end, _ in lines])
        home.engine.dispose()


@settings(max_examples=6)
@given(
    data=st.data(),
    rows=st.lists(SERVED_ROWS, min_size=4, max_size=6),
    deaths=st.lists(st.integers(0, 150), min_size=1, max_size=2),
)
def test_whoever_dies_while_it_counts_nothing_is_lost_or_counted_twice(
    data: st.DataObject, rows: list[Served], deaths: list[int]
) -> None:
    lines = drawn_lines(data, rows)
    with tempfile.TemporaryDirectory() as folder:
        home = EvidenceHome(Path(folder), migrated_engine(Path(folder) / "log.db", "log"))
        home.write(*(line for _, _, line in lines))
        for death in deaths:
            killed_at(
                death, home.ship, ("evidence_sink.py", "compared_units.py", "evidence_tally.py", "shipper.py")
            )
        home.ship()
        assert counted(home) == expected(rows, [(number, is_end) for number, is_end, _ in lines])
        home.engine.dispose()


def test_two_replicas_that_ship_at_once_count_each_unit_once(home: EvidenceHome, tmp_path: Path) -> None:
    homes = [EvidenceHome(tmp_path / str(number), home.engine) for number in range(2)]
    for number, other in enumerate(homes):
        lines = [begun(f"a{number}-{i}", f"u{i % 30}") for i in range(60)]
        other.write(*(line for begin in lines for line in (begin, answered(begin))))
    threads = [threading.Thread(target=other.ship) for other in homes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert home.units()[:2] == (30, 30)
    assert home.cells("error_rate") == {(0, "control", "", ""): (30, 0)}
