"""The controller as a command: what fails for a moment does not end it, and a slow registry holds nothing up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest

from cli import rollout_controller
from cli.rollout_controller import keep_deciding
from tests.waiting import until


class FakeController:
    """Counts its ticks, of which some fail; `registry` is what `deliver` waits for."""

    def __init__(self, *, failing: int = 0) -> None:
        self.ticks = self.delivered = 0
        self.failing = failing
        self.registry = threading.Event()
        self.is_stopped = False

    def tick(self, _now: datetime) -> bool:
        self.ticks += 1
        if self.ticks <= self.failing:
            raise OSError("the row of unit 17 is locked")
        return True

    def deliver(self, _now: datetime) -> bool:
        self.registry.wait()
        self.delivered += 1
        return True

    def stop(self, _now: datetime) -> None:
        self.is_stopped = True


@contextmanager
def at_work(fake: FakeController) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=keep_deciding, args=(fake, stop))
    thread.start()
    try:
        yield
    finally:
        fake.registry.set()
        stop.set()
        thread.join()
    assert fake.is_stopped


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_controller, "_SECONDS", 0.01)


def test_a_database_that_is_away_for_a_moment_ends_nothing_and_is_told_once(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeController(failing=3)
    with at_work(fake):
        until(lambda: fake.ticks > 5)
    assert [record.getMessage() for record in caplog.records] == [
        "rollouts: OSError; it is tried again each second"
    ]
    assert capsys.readouterr().out.count("this process decides") == 1


def test_a_registry_that_does_not_answer_holds_no_look_up() -> None:
    fake = FakeController()
    with at_work(fake):
        until(lambda: fake.ticks > 5)
        assert fake.delivered == 0
    assert fake.delivered
