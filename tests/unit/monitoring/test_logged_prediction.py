"""One prediction is found by its id in whichever form it is logged, with what it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from monitoring.errors import PredictionNotFoundError
from monitoring.logged_features import find_features
from monitoring.logged_prediction import find_outcome, find_prediction
from monitoring.outcomes import Outcome, keep
from monitoring.predictions import BULK_ROWS
from tests.fakes.databases import migrated_engine
from tests.fakes.records import prediction_record
from tests.unit.monitoring.log_home import SINCE, LogHome

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.none()
VALUES = {
    "number": NUMBERS,
    "whole": st.integers(-(2**63), 2**63 - 1),
    "truth": st.booleans(),
    "text": st.text(st.characters(exclude_categories=("Cs",))) | st.none(),
}


@pytest.fixture
def home(tmp_path: Path, engine: Engine) -> LogHome:
    return LogHome(tmp_path, engine)


def test_a_row_has_its_place_and_its_last_outcome_under_either_name(home: LogHome) -> None:
    home.write([prediction_record("a", 2, scores=[0.1, 1 / 3], caller_ids=["x", "y"], unit_hashes=["u", None])])
    home.settle()
    first, second = (find_prediction(home.engine, home.spool, name) for name in ("a-0", "a-1"))
    assert (first.has_unit, second.has_unit) == (True, False)
    assert (second.score, second.caller_id, second.is_shipped) == (1 / 3, "y", True)
    assert find_outcome(home.engine, second) is None
    keep(home.engine, [Outcome(prediction_id="a-1", outcome=0)], SINCE)
    keep(home.engine, [Outcome(model="credit", id="y", outcome=1)], SINCE)
    assert find_outcome(home.engine, second) == 1
    keep(home.engine, [Outcome(prediction_id="a-1", outcome=0)], SINCE)
    assert find_outcome(home.engine, second) == 0


def test_a_row_of_a_bulk_record_has_what_its_block_has(home: LogHome) -> None:
    rows = BULK_ROWS + 1
    scores = np.linspace(0, 1, rows)
    values: dict[str, Any] = {"scores": scores, "features": {"age": np.arange(rows) / 3}}
    units = {"unit_hashes": ["u"] * rows, "cohorts": ["champion"] * rows}
    home.write([prediction_record("b", rows, epoch=9, protocol="v2", rollout_id="r-1", **values, **units)])
    for _ in range(2):
        found = find_prediction(home.engine, home.spool, "b-700")
        assert (found.score, found.epoch, found.protocol, found.rollout_id) == (scores[700], 9, "v2", "r-1")
        assert (found.has_unit, found.cohort) == (True, "champion")
        assert find_features(home.engine, home.store, home.spool, found) == {"age": 700 / 3}
        home.settle()


def test_an_id_that_no_record_has_is_not_found(home: LogHome) -> None:
    home.write([prediction_record("a")])
    for name in ("a-1", "a", "", "A-0", "b-0"):
        with pytest.raises(PredictionNotFoundError):
            find_prediction(home.engine, home.spool, name)
    home.settle()
    with pytest.raises(PredictionNotFoundError):
        find_prediction(home.engine, home.spool, "a-1")


def test_a_line_that_is_half_written_is_not_there_yet(home: LogHome) -> None:
    home.write([prediction_record("a")])
    (segment,) = home.spool.glob("*.jsonl")
    segment.write_bytes(segment.read_bytes().rstrip(b"\n"))
    with pytest.raises(PredictionNotFoundError):
        find_prediction(home.engine, home.spool, "a-0")


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=4))
def test_what_it_was_made_from_comes_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("home")
    engine = migrated_engine(folder / "log.db", "log")
    home = LogHome(folder, engine)
    home.write([prediction_record("a", len(rows), features=rows)])
    for _ in range(2):  # from the spool, then from the store
        for place, row in enumerate(rows):
            found = find_features(engine, home.store, home.spool, find_prediction(engine, home.spool, f"a-{place}"))
            assert {name: repr(value) for name, value in (found or {}).items()} == {
                name: repr(value) for name, value in row.items()
            }
        home.settle()
    engine.dispose()
