"""A migrated prediction log, and what replays are kept in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.databases import BOTH_ENGINES, engine_asked_for
from tests.unit.replay.replay_home import ReplayHome


@pytest.fixture(params=BOTH_ENGINES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReplayHome]:
    with engine_asked_for(request, tmp_path / "predictions.db", "log") as engine:
        yield ReplayHome(tmp_path, engine)
