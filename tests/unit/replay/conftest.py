"""A migrated prediction log with what replays are kept in, and a deployment with three versions of one model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.databases import BOTH_ENGINES, engine_asked_for
from tests.unit.replay.deployment import Deployment, write_versions
from tests.unit.replay.replay_home import ReplayHome


@pytest.fixture(params=BOTH_ENGINES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReplayHome]:
    with engine_asked_for(request, tmp_path / "predictions.db", "log") as engine:
        yield ReplayHome(tmp_path, engine)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_versions(tmp_path_factory.mktemp("versions"))


@pytest.fixture
def deployment(tmp_path: Path, folders: dict[str, Path]) -> Iterator[Deployment]:
    made = Deployment.at(tmp_path, folders)
    yield made
    made.control.dispose()
    made.log.dispose()
