"""A migrated control database, and a champion with two versions that may challenge it and one that may not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rollout.controller import Controller
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for
from tests.fakes.registry import FakeRegistry
from tests.unit.rollout.steering import CANARY, Steering, credit_registry


@pytest.fixture(params=BOTH_ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with engine_asked_for(request, tmp_path / "fairmind.db", "control") as engine:
        yield engine


@pytest.fixture
def registry(tmp_path: Path) -> FakeRegistry:
    return credit_registry(tmp_path)


@pytest.fixture(params=BOTH_ENGINES)
def steering(request: pytest.FixtureRequest, tmp_path: Path, registry: FakeRegistry) -> Iterator[Steering]:
    with (
        engine_asked_for(request, tmp_path / "control.db", "control") as control,
        engine_asked_for(request, tmp_path / "log.db", "log") as log,
    ):
        yield Steering(control, log, registry)


@pytest.fixture
def canary(steering: Steering) -> tuple[Steering, Controller]:
    """A rollout whose only step has begun, and its controller."""
    steering.start(**CANARY)
    controller = steering.controller()
    steering.tick(controller)
    return steering, controller
