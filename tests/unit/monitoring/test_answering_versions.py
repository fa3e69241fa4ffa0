"""Which version a remote server's newest answers came from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from monitoring.answering_versions import last_reported
from monitoring.tables import PREDICTION
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for

NOW = datetime(2031, 5, 1, tzinfo=UTC)
RECENTLY = NOW - timedelta(minutes=1)


@pytest.fixture(params=BOTH_ENGINES)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with engine_asked_for(request, tmp_path / "predictions.db", "log") as engine:
        yield engine


def answered(log: Engine, *versions: str, model: str = "people", age: float = 0.0) -> None:
    """Log an answer of each version, a millisecond apart."""
    with log.begin() as connection:
        for place, version in enumerate(versions):
            at = NOW - timedelta(seconds=age) + timedelta(milliseconds=place)
            values = {"prediction_id": f"{model}-{age}-{place}", "request_id": "r", "served_at": at, "model": model}
            values |= {"model_version": version, "epoch": 1, "protocol": "oip", "prediction": 1, "latency_us": 1}
            connection.execute(insert(PREDICTION), values)


def test_the_newest_answer_says_what_the_server_is(log: Engine) -> None:
    answered(log, "3", "3@8", "4", age=10)
    assert last_reported(log, "people", "3", RECENTLY) == "8"
    answered(log, "3@9@rc", age=5)
    assert last_reported(log, "people", "3", RECENTLY) == "9@rc"
    answered(log, "3")
    assert last_reported(log, "people", "3", RECENTLY) is None


def test_other_versions_other_models_and_old_answers_say_nothing_of_it(log: Engine) -> None:
    answered(log, "30@8", "13@8", "4@8")
    answered(log, "3@8", model="others")
    answered(log, "3@8", age=61)
    assert last_reported(log, "people", "3", RECENTLY) is None
