"""A row under an id that its caller gave before is stored, and counted once in 24 hours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from database.engine import reading
from monitoring.tables import PREDICTION
from tests.unit.monitoring.log_home import LogHome

HOUR = 3600.0


def repeats(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return set(connection.execute(select(PREDICTION.c.request_id).where(PREDICTION.c.is_repeat)).scalars())


def test_a_day_after_the_first_that_counted_the_id_is_new(tmp_path: Path, engine: Engine, new_record: Any) -> None:
    home = LogHome(tmp_path, engine)
    hours = {"a": 0.0, "b": 1.0, "c": 23.9, "d": 24.0, "e": 30.0, "f": 48.1}
    for name, hour in hours.items():  # each in a transaction of its own
        home.write([new_record(name, served_at=hour * HOUR, caller_ids=["mine"])])
        home.ship()
    assert repeats(engine) == {"b", "c", "e"}


def test_rows_that_are_shipped_together_are_compared_too(tmp_path: Path, engine: Engine, new_record: Any) -> None:
    home = LogHome(tmp_path, engine)
    home.write(
        [new_record("pinned", caller_ids=["mine"], variant=None)],
        [new_record("a", caller_ids=["mine"])],
        [new_record("b", caller_ids=["mine"])],
        [new_record("other", caller_ids=["mine"], model="other")],
        [new_record("none", caller_ids=[None])],
        [new_record("many", positions=[0, 1], predictions=[0, 1], scores=None, caller_ids=["x", "x"])],
    )
    home.ship()
    assert repeats(engine) == {"b", "many"}
    with reading(engine) as connection:
        marked = select(PREDICTION.c.prediction_id).where(PREDICTION.c.is_repeat, PREDICTION.c.request_id == "many")
        assert connection.execute(marked).scalars().all() == ["many-1"]


def test_what_an_attempt_marked_that_failed_is_judged_anew(tmp_path: Path, engine: Engine, new_record: Any) -> None:
    home = LogHome(tmp_path, engine)
    home.write(
        [new_record("refused", caller_ids=["mine"], latency_us=2**63)],
        [new_record("a", caller_ids=["mine"])],
        [new_record("b", caller_ids=["mine"])],
    )
    home.ship()
    assert repeats(engine) == {"b"}
