"""Controllers that are killed, and several at once: each decision is made once, and what follows is done."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from database.engine import reading
from rollout.controller import LASTING
from rollout.evaluating import evaluate
from rollout.evaluations import evaluations, repeat
from rollout.evidence_store import read_evidence
from rollout.history import canonical, history
from rollout.plan import Plan
from rollout.serving_store import epochs_of
from rollout.tables import EVALUATION
from rollout.verify import verify_log
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for
from tests.fakes.registry import FakeRegistry
from tests.unit.rollout.steering import PLAN, STEP, Steering
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[3]
REPLICAS = 4
PLACES = {
    "after the evaluation": "rollout.controller.carry_out",
    "after what serves": "rollout.transitions.post",
}
KILLED = """
import os, signal, sys
from datetime import datetime
from importlib import import_module
from pathlib import Path
from unittest.mock import patch
from database.engine import server_engine, sqlite_engine
from rollout.controller import Controller
from tests.fakes.registry import FakeRegistry

control, log, now, place = sys.argv[1:]
def opened(where, tree):
    return server_engine(where, tree) if where.startswith("postgresql") else sqlite_engine(Path(where))
def die(*_args, **_more):
    os.kill(os.getpid(), signal.SIGKILL)
controller = Controller(opened(control, "control"), opened(log, "log"), FakeRegistry(), holder="killed")
if place:
    patch(place, die).start()
controller.tick(datetime.fromisoformat(now))
die()
"""


@pytest.fixture(params=BOTH_ENGINES)
def steering(request: pytest.FixtureRequest, tmp_path: Path, registry: FakeRegistry) -> Iterator[Steering]:
    """A rollout that its next evaluation promotes."""
    with (
        engine_asked_for(request, tmp_path / "control.db", "control") as control,
        engine_asked_for(request, tmp_path / "log.db", "log") as log,
    ):
        steering = Steering(control, log, registry)
        steering.start(steps=[PLAN["steps"][1]])
        controller = steering.controller()
        steering.tick(controller)
        steering.see()
        assert steering.tick(controller) == "promoting"
        steering.now += STEP
        yield steering


def kill_one(steering: Steering, place: str) -> None:
    """Let a controller in a process of its own tick, and be killed at a place; after its tick without one."""
    where = [
        engine.url.render_as_string(hide_password=False)
        if engine.dialect.name == "postgresql"
        else engine.url.database
        for engine in (steering.control, steering.log)
    ]
    command = [sys.executable, "-c", KILLED, *map(str, where), steering.now.isoformat(), place]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def looks(steering: Steering) -> int:
    with reading(steering.control) as connection:
        return connection.execute(select(func.count()).select_from(EVALUATION)).scalar_one()


def promotions(steering: Steering) -> int:
    return [one.action for one in history(steering.control, steering.rollout_id)].count("promoted")


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES)
def test_a_controller_killed_while_it_writes_leaves_what_was_before(steering: Steering, place: str) -> None:
    before, events = (steering.row(), steering.served(), looks(steering)), promotions(steering)
    kill_one(steering, PLACES[place])
    assert (steering.row(), steering.served(), looks(steering)) == before
    assert promotions(steering) == events == 0
    successor = steering.controller()
    # The killed one took the lease a moment into its tick, by its own clock.
    assert steering.tick(successor, 2 * LASTING) == "promoted"
    assert successor.deliver(steering.now)
    assert (steering.champion(), promotions(steering)) == ("2", 1)
    assert verify_log(steering.control, steering.registry)[0].problem is None


@pytest.mark.long
def test_what_a_killed_controller_decided_is_done_by_the_next_one(steering: Steering) -> None:
    kill_one(steering, "")
    assert (steering.state(), steering.champion()) == ("promoted", "1")
    steering.follow()
    assert steering.served().champion.version == "2"
    successor = steering.controller()
    # The killed one took the lease a moment into its tick, by its own clock.
    assert steering.tick(successor, 2 * LASTING) == "promoted"
    assert successor.deliver(steering.now)
    assert (steering.champion(), promotions(steering)) == ("2", 1)
    assert verify_log(steering.control, steering.registry)[0].note is None


@pytest.mark.long
def test_after_a_restart_the_same_evidence_gives_the_same_evaluation_to_the_bit(steering: Steering) -> None:
    plan, entered_at = Plan.parse(steering.row().plan), steering.row().step_entered_at
    kill_one(steering, "")
    looked = evaluations(steering.control, steering.rollout_id)[-1]
    with reading(steering.control) as connection:
        epochs = epochs_of(connection, steering.rollout_id)
    with reading(steering.log) as connection:
        evidence = read_evidence(connection, plan, steering.rollout_id, epochs)
    again = evaluate(plan, looked.step, evidence, looked.at, entered_at=entered_at)
    written = canonical(looked.evaluation.to_dict())
    assert canonical(again.to_dict()) == canonical(repeat(plan, looked).to_dict()) == written


class _Killed(BaseException):
    """What no code of ours catches."""


def test_an_alias_that_moved_before_it_was_noted_is_moved_again_to_the_same_end(
    steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, move = steering.controller(), steering.registry.set_alias
    assert steering.tick(controller, LASTING) == "promoted"

    def moves_and_dies(name: str, alias: str, version: str) -> None:
        move(name, alias, version)
        if alias == "champion":
            raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(steering.registry, "set_alias", moves_and_dies)
        with pytest.raises(_Killed):
            controller.deliver(steering.now)
    assert steering.champion() == "2"
    assert steering.controller().deliver(steering.now + timedelta(minutes=2))
    aliases = {alias: one.version for one in steering.registry.aliased() for alias in one.aliases}
    assert aliases == {"champion": "2", "previous_champion": "1"}


def test_several_controllers_at_once_decide_once(steering: Steering) -> None:
    before = looks(steering)
    replicas = [steering.controller() for _ in range(REPLICAS)]
    barrier = threading.Barrier(REPLICAS)
    acted: list[bool] = []

    def run(number: int) -> None:
        barrier.wait()
        acted.append(replicas[number].tick(steering.now))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(REPLICAS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(acted) == [False] * (REPLICAS - 1) + [True]
    assert (steering.state(), promotions(steering), looks(steering)) == ("promoted", 1, before + 1)
