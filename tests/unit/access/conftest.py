"""A migrated control database, a file of keys, and a clock that moves when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from access.key_store import create, publish
from access.keyring import Keyring
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=BOTH_ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with engine_asked_for(request, tmp_path / "fairmind.db", "control") as engine:
        yield engine


@dataclass
class Clock:
    """Both clocks at once: seconds since 1970."""

    now: float = NOW.timestamp()

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run" / "keys.json"


@pytest.fixture
def keyring(file: Path, clock: Clock) -> Keyring:
    return Keyring(file, wall=clock, clock=clock)


@pytest.fixture
def new_key(engine: Engine, file: Path) -> Callable[..., tuple[str, bytes]]:
    """Makes a key, publishes it, and returns its id and its token."""

    def make(*scopes: str, rate: float | None = None, expires_at: datetime | None = None) -> tuple[str, bytes]:
        key, token = create(
            engine,
            "a name",
            scopes or ("predict",),
            actor="me",
            now=NOW,
            requests_per_second=rate,
            expires_at=expires_at,
        )
        publish(engine, file)
        return key.id, token.text.encode()

    return make
