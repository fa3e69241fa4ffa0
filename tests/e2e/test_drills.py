"""Crash drills on real processes: whatever dies, fills up or goes away, an answer is in the database once.

Clients keep the ids they were answered with; what they were refused is not there.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, func, select

from database.engine import reading, server_engine, sqlite_engine
from monitoring.tables import EXPOSURE, PREDICTION
from tests.e2e.replicas import STALE_SECONDS, Watch, follow, split, workers_of
from tests.postgres import Postgres
from tests.waiting import PATIENCE, kept, until

pytestmark = pytest.mark.long

SETTINGS = {"FAIRMIND_REGISTRY_POLL_SECONDS": "0.5"}
KILLS = 4
LOCKED_SECONDS = 12.0
"""Longer than a writer waits for another before it gives up for now."""


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server for one drill, which may stop it."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def deployment(tmp_path: Path, new_small: Callable[[Path], Any]) -> Any:
    """A deployment of its own databases and spool on the trained models."""
    deployment = new_small(tmp_path / "home")
    deployment.settings.update(SETTINGS)
    return deployment


@pytest.fixture
def on_postgres(deployment: Any, postgres: Postgres) -> Any:
    """The deployment with its databases on a server."""
    deployment.settings["FAIRMIND_DATABASE_URL"] = postgres.new_database()
    return deployment


@pytest.fixture(params=["deployment", "on_postgres"])
def on_either(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@contextlib.contextmanager
def log_of(deployment: Any) -> Iterator[Engine]:
    url = deployment.settings.get("FAIRMIND_DATABASE_URL")
    engine = sqlite_engine(deployment.home / "predictions.db") if url is None else server_engine(url, "log")
    yield engine
    engine.dispose()


def in_the_log(deployment: Any) -> Counter[tuple[str, str]]:
    """Return how often each prediction id with its caller's id is in the database."""
    with log_of(deployment) as engine, reading(engine) as connection:
        rows = connection.execute(select(PREDICTION.c.prediction_id, PREDICTION.c.caller_id))
        return Counter((row.prediction_id, row.caller_id) for row in rows)


def rows_in_the_log(deployment: Any) -> int:
    with log_of(deployment) as engine, reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(PREDICTION)).scalar_one()


def more_arrive(deployment: Any) -> None:
    """Return when more rows are in the database than there were."""
    before = rows_in_the_log(deployment)
    until(lambda: rows_in_the_log(deployment) > before)


def all_arrive_once(deployment: Any, *loads: Any, seconds: float = PATIENCE) -> None:
    """Wait until every answer is in the database, and hold that each is there once and nothing refused is.

    It fails where nothing new has arrived for `seconds`.
    """
    answered = {
        (prediction_id, caller_id) for asking in loads for caller_id, (prediction_id, *_) in asking.answered.items()
    }
    assert answered
    arrived = functools.partial(rows_in_the_log, deployment)
    until(
        lambda: arrived() >= len(answered) and answered <= set(in_the_log(deployment)),
        seconds,
        lambda: deployment.server_log.read_text()[-3_000:],
        arrived,
    )
    found = in_the_log(deployment)
    assert set(found.values()) == {1}
    assert not {caller_id for _, caller_id in found} & {one for asking in loads for one in asking.refused}
    assert not (deployment.home / "spool" / "quarantine").exists()


def processes(served: Any, service: str) -> list[psutil.Process]:
    """Return the server's processes of one service."""
    found = []
    for process in psutil.Process(served.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            words = process.cmdline()
            if "--service-name" in words and words[words.index("--service-name") + 1] == service:
                found.append(process)
    return found


def has_more(found: Collection[Any], before: int) -> bool:
    return len(found) > before


def kill_all(served: Any) -> None:
    """Kill every process of a service at once: none is to hear of another's end and put things in order."""
    server = psutil.Process(served.pid)
    for process in [*server.children(recursive=True), server]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def ready(served: Any) -> None:
    served.wait_for_workers(lambda detail: "small" in detail["models"])


def spooled(deployment: Any) -> list[Path]:
    return list((deployment.home / "spool").glob("*.jsonl"))


def test_the_whole_service_killed_under_load_ships_what_it_answered_when_it_is_back(
    on_either: Any, load: Any, small_features: list[dict[str, Any]]
) -> None:
    with on_either.serving(FAIRMIND_MONITORING_SHIP_SECONDS="1.5") as served:
        ready(served)
        asking = load(served.url, small_features, clients=4, model="small", prefix="first-")
        with asking.running():
            asking.wait_for(300)
            kill_all(served)
            until(lambda: len(asking.failed) >= asking.clients)
    assert spooled(on_either)
    with on_either.serving() as served:
        ready(served)
        again = load(served.url, small_features, clients=4, model="small", prefix="again-")
        with again.running():
            again.wait_for(100)
        all_arrive_once(on_either, asking, again)
        outcome = [{"prediction_id": next(iter(again.answered.values()))[0], "outcome": 1}]
        told = [served.post("/api/v1/outcomes", outcome).json() for _ in range(2)]
        assert [(one["accepted"], one["repeated"]) for one in told] == [(1, 0), (0, 1)]


def test_asked_to_end_under_load_it_ships_the_rest_before_it_does(
    deployment: Any, load: Any, small_features: list[dict[str, Any]]
) -> None:
    with deployment.serving(FAIRMIND_MONITORING_SHIP_SECONDS="3600") as served:
        ready(served)
        asking = load(served.url, small_features, clients=4, model="small")
        with asking.running():
            asking.wait_for(300)
            server = psutil.Process(served.pid)
            began = time.monotonic()
            server.terminate()
            until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
            took = time.monotonic() - began
            until(lambda: len(asking.failed) >= asking.clients)
        assert took < 25
    assert spooled(deployment) == []
    all_arrive_once(deployment, asking, seconds=0.1)


def test_a_worker_killed_during_a_rollout_leaves_what_it_had_not_answered_exposed(
    on_postgres: Any, load: Any, small_features: list[dict[str, Any]]
) -> None:
    with on_postgres.serving() as served:
        ready(served)
        (on_postgres.home / "plan.yaml").write_text("model: small\nchallenger: '2'\nsteps:\n- weight: 0.5\n")
        rollout = on_postgres.fairmind("rollout", "start", "plan.yaml", "--override", "a drill")
        served.wait_for_workers(lambda detail: detail["models"]["small"].get("challenger") == "2")
        asking = load(served.url, small_features, clients=4, model="small", with_units=True)
        with asking.running():
            asking.wait_for(300)
            victim = processes(served, "FairMind")[0]
            victim.kill()
            asking.wait_for(300)
        all_arrive_once(on_postgres, asking)
    with log_of(on_postgres) as engine, reading(engine) as connection:
        exposures = connection.execute(select(EXPOSURE)).all()
    answered = {prediction_id for prediction_id, *_ in asking.answered.values()}
    ended = {row.prediction_id for row in exposures if row.status == "ok"}
    open_ = [row for row in exposures if row.status is None]
    assert ended >= answered  # at one half every unit is compared
    assert len(open_) + len(ended - answered) <= len(asking.failed) <= asking.clients
    assert {row.rollout_id for row in exposures} == {rollout["id"]}
    assert {(row.cohort, row.model_version) for row in exposures} == {("challenger", "2"), ("control", "1")}


def test_a_server_that_is_stopped_for_a_while_gets_what_was_answered_meanwhile(
    deployment: Any, own_postgres: Postgres, load: Any, small_features: list[dict[str, Any]]
) -> None:
    deployment.settings["FAIRMIND_DATABASE_URL"] = own_postgres.new_database()
    with deployment.serving() as served:
        ready(served)
        asking = load(served.url, small_features, clients=4, model="small")
        with asking.running():
            asking.wait_for(100)
            own_postgres.stop()
            asking.wait_for(500)
            assert spooled(deployment)
            own_postgres.start()
            asking.wait_for(100)
        all_arrive_once(deployment, asking)
        assert asking.failed == []
        until(lambda: "shipper" not in served.get("/api/v1/status").json()["problems"])


def test_a_database_that_somebody_else_writes_to_for_long_gets_what_was_answered_meanwhile(
    deployment: Any, load: Any, small_features: list[dict[str, Any]]
) -> None:
    with deployment.serving() as served:
        ready(served)
        asking = load(served.url, small_features, clients=2, model="small")
        with asking.running():
            asking.wait_for(50)
            with contextlib.closing(sqlite3.connect(deployment.home / "predictions.db")) as other:
                other.execute("BEGIN IMMEDIATE")
                began = time.monotonic()
                while time.monotonic() - began < LOCKED_SECONDS:
                    asking.wait_for(20)
                other.rollback()
            asking.wait_for(50)
        all_arrive_once(deployment, asking)
        assert asking.failed == []


def test_a_disk_that_is_full_refuses_what_it_cannot_keep_and_serves_again_once_there_is_room(
    deployment: Any, load: Any, small_features: list[dict[str, Any]]
) -> None:
    spool = deployment.home / "spool"
    spool.mkdir(mode=0o700)
    # A disk of 256 KB that is there for the server alone, and gone with it.
    mount = f'mount -t tmpfs -o size=256k,mode=700 tmpfs "{spool}" && exec "$@"'
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]  # who alone may mount it
    within = ["unshare", *as_root, "--mount", "--propagation", "private", "sh", "-c", mount, "sh"]
    with deployment.serving(within=within, FAIRMIND_MONITORING_SHIP_SECONDS="5") as served:
        ready(served)
        asking = load(served.url, small_features, clients=4, model="small", rest_seconds=0.01)
        with asking.running():
            until(lambda: asking.refused)
            for _ in range(2):  # it is full once more, and recovers once more
                asking.wait_for(200)
                until(functools.partial(has_more, asking.refused, len(asking.refused)))
            asking.wait_for(50)
        assert all(failure.startswith("503") for failure in asking.failed), Counter(asking.failed)
        all_arrive_once(deployment, asking)
        assert served.get("/readyz").status_code == 200


def test_a_companion_that_is_killed_and_started_again_over_and_over_ships_nothing_twice(
    deployment: Any, load: Any, small_features: list[dict[str, Any]]
) -> None:
    with deployment.serving(FAIRMIND_MONITORING_SEGMENT_BYTES="20000") as served:
        ready(served)
        asking = load(served.url, small_features, clients=2, model="small")
        with asking.running():
            for _ in range(KILLS):
                (companion,) = until(lambda: processes(served, "FairMindCompanion"))
                more_arrive(deployment)  # it is killed while it ships what has waited for it
                companion.kill()
                companion.wait()
        all_arrive_once(deployment, asking)
        assert asking.failed == []


def test_without_a_companion_the_champion_alone_answers_until_there_is_one_again(
    deployment: Any, load: Any, small_features: list[dict[str, Any]]
) -> None:
    with deployment.serving() as served, workers_of([served]) as workers:
        ready(served)
        started = served.post("/api/v1/rollouts?override=a+drill", split(0.5))
        assert started.status_code == 201, started.text
        follow(workers, 0.5)
        instances = [{"features": small_features[0], "unit": f"person-{number}"} for number in range(40)]
        answers = zip(instances, workers[0].predict(instances), strict=True)
        unit = next(instance for instance, answer in answers if answer["model_version"] == "2")
        supervisor = psutil.Process(served.pid)

        def seconds_without() -> float:
            asking = load(served.url, small_features, clients=2, model="small")
            with Watch(workers, unit).running() as watch, asking.running():
                watch.until_all_answer_by("2")
                (companion,) = until(lambda: processes(served, "FairMindCompanion"))
                supervisor.suspend()  # nobody starts another
                try:
                    companion.kill()
                    killed = time.monotonic()
                    watch.until_all_answer_by("1")
                    asking.wait_for(100)
                finally:
                    back = time.monotonic()
                    supervisor.resume()
                watch.until_all_answer_by("2")
            assert (asking.failed, watch.failed) == ([], [])
            all_arrive_once(deployment, asking)
            return watch.seconds_until_only("1", killed, back)

        kept(STALE_SECONDS, seconds_without)


def test_of_two_services_on_one_home_one_ships_and_the_other_takes_over(
    on_postgres: Any, load: Any, small_features: list[dict[str, Any]]
) -> None:
    with on_postgres.serving() as first, on_postgres.serving() as second:
        loads = [
            load(served.url, small_features, clients=2, model="small", prefix=f"{name}-")
            for name, served in (("first", first), ("second", second))
        ]
        for served in (first, second):
            ready(served)
        with loads[0].running(), loads[1].running():
            for asking in loads:
                asking.wait_for(100)
            kill_all(first)
            loads[1].wait_for(200)
        all_arrive_once(on_postgres, *loads)
        assert loads[1].failed == []
