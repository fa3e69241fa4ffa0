"""Two replicas as one service: one split, one log, and champions alone where they cannot agree any more."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import Table, select

from database.engine import reading, server_engine
from inference.grpc_messages import SERVICE, ModelInferResponse
from monitoring.tables import EXPOSURE, PREDICTION
from registry.mlflow_registry import MlflowRegistry
from registry.store import embedded_tracking_uri
from tests.e2e.replicas import MODEL, STALE_SECONDS, Site, Watch, Worker, follow, predict, site, workers_of
from tests.postgres import Postgres
from tests.unit.bentos.grpc_client import request
from tests.waiting import kept, until

pytestmark = pytest.mark.long

POLL_SECONDS = 0.5
FOLLOW_SECONDS = 5.0
"""Within which a change reaches every worker."""
UNITS = [f"person-{number}" for number in range(500)]


@pytest.fixture(scope="module")
def here(
    tmp_path_factory: pytest.TempPathFactory,
    new_deployment: Callable[[Path], Any],
    new_small: Callable[[Path], Any],
    small_features: list[dict[str, Any]],
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("replicas")
    store = new_small(folder / "store")
    shared = {"tracking_uri": embedded_tracking_uri(store.home / "mlflow.db"), "postgres": Postgres()}
    try:
        database = shared["postgres"].new_database()
        replicas = [new_deployment(folder / name) for name in ("first", "second")]
        for replica in replicas:
            replica.settings |= {
                "FAIRMIND_DATABASE_URL": database,
                "MLFLOW_TRACKING_URI": shared["tracking_uri"],
                "FAIRMIND_REGISTRY_POLL_SECONDS": str(POLL_SECONDS),
            }
        with site(folder, replicas, database=database, features=small_features, **shared) as made:
            yield made
    finally:
        shared["postgres"].close()


@pytest.fixture
def workers(here: Site) -> Iterator[list[Worker]]:
    with workers_of(here.replicas) as found:
        assert len({worker.pid for worker in found}) == 4
        yield found


def answers_of(here: Site, workers: Sequence[Worker]) -> dict[str, str]:
    """Return which version answers each unit, the same from every worker and through the proxy."""
    instances = here.instances(UNITS)
    everywhere = [[one["model_version"] for one in worker.predict(instances)] for worker in workers]
    with here.client() as client:
        for _ in range(2):  # one replica answers the one, the other the other
            parts = [predict(client, instances[at : at + 50]) for at in range(0, len(instances), 50)]
            everywhere.append([one["model_version"] for part in parts for one in part])
    assert all(answers == everywhere[0] for answers in everywhere)
    return dict(zip(UNITS, everywhere[0], strict=True))


def answered_over_grpc(here: Site, units: Sequence[str]) -> dict[str, str]:
    """Return which version answers each unit over gRPC through the proxy."""
    with grpc.insecure_channel(f"127.0.0.1:{here.grpc_port}") as channel:
        infer = channel.unary_unary(
            f"/{SERVICE}/ModelInfer", lambda sent: sent.SerializeToString(), ModelInferResponse.FromString
        )
        found = {}
        for instance in here.instances(units):
            message = request(MODEL, {name: [value] for name, value in instance["features"].items()})
            message.parameters["unit"].string_param = instance["unit"]
            found[instance["unit"]] = infer(message, timeout=60).model_version
    return found


def logged(here: Site, since: datetime) -> list[str]:
    """Return the id of every row of the prediction log that was served since then."""
    engine = server_engine(here.database, "log")
    with reading(engine) as connection:
        rows = connection.execute(select(PREDICTION.c.prediction_id).where(PREDICTION.c.served_at >= since))
        found = [row.prediction_id for row in rows]
    engine.dispose()
    return found


def rows_of(here: Site, table: Table, rollout_id: str) -> list[Any]:
    """Return what a table of the log has of one rollout."""
    engine = server_engine(here.database, "log")
    with reading(engine) as connection:
        found = connection.execute(select(table).where(table.c.rollout_id == rollout_id)).all()
    engine.dispose()
    return list(found)


def challenged(answers: dict[str, str]) -> set[str]:
    return {unit for unit, version in answers.items() if version == "2"}


def aborted(here: Site, workers: Sequence[Worker], rollout_id: str) -> None:
    here.api(f"/rollouts/{rollout_id}/abort", {})
    for worker in workers:
        until(lambda said=worker.served: said()["weight"] == 0)


def test_a_unit_gets_one_variant_whoever_answers_it_and_all_follow_a_new_weight_and_an_abort(
    here: Site, workers: list[Worker]
) -> None:
    rollout_id = here.start_rollout(workers, 0.3)
    at_first = answers_of(here, workers)
    assert 0.3 * 500 - 42 < len(challenged(at_first)) < 0.3 * 500 + 42  # four standard deviations
    over_grpc = answered_over_grpc(here, UNITS[:60])
    assert over_grpc == {unit: at_first[unit] for unit in UNITS[:60]}

    weights = iter((0.4, 0.5, 0.6))

    def seconds_to_follow() -> float:
        here.api(f"/rollouts/{rollout_id}/weight", {"weight": (weight := next(weights))})
        changed = time.monotonic()
        follow(workers, weight)
        return time.monotonic() - changed

    kept(FOLLOW_SECONDS, seconds_to_follow)
    raised = answers_of(here, workers)
    assert challenged(at_first) < challenged(raised)

    aborted(here, workers, rollout_id)
    assert set(answers_of(here, workers).values()) == {"1"}

    asked = 2 * 6 * len(UNITS) + len(over_grpc)  # by four workers, and twice by the proxy
    until(lambda: len(rows_of(here, PREDICTION, rollout_id)) >= asked)
    assert len(rows_of(here, PREDICTION, rollout_id)) == asked
    rows = rows_of(here, EXPOSURE, rollout_id)
    assert len({row.prediction_id for row in rows}) == len(rows)
    assert {row.status for row in rows} == {"ok"}
    given = [row for row in rows if row.cohort == "challenger"]
    assert len(given) == 6 * len(challenged(at_first)) + 6 * len(challenged(raised)) + len(challenged(over_grpc))
    cohorts = defaultdict(set)
    for row in rows:
        cohorts[row.epoch, row.unit_hash].add((row.cohort, row.model_version))
    assert Counter(map(len, cohorts.values())) == {1: len(cohorts)}


def test_an_abort_reaches_every_worker_of_every_replica_within_five_seconds(
    here: Site, workers: list[Worker]
) -> None:
    def seconds_after_an_abort() -> float:
        rollout_id = here.start_rollout(workers, 0.5)
        unit = min(challenged(answers_of(here, workers)))
        with Watch(workers, here.instances([unit])[0]).running() as watch:
            watch.until_all_answer_by("2")
            here.api(f"/rollouts/{rollout_id}/abort", {})
            returned = time.monotonic()
            watch.until_all_answer_by("1")
        assert watch.failed == []
        return watch.seconds_until_only("1", returned)

    kept(FOLLOW_SECONDS, seconds_after_an_abort)
    assert set(answers_of(here, workers).values()) == {"1"}


@pytest.mark.parametrize(("leave", "come_back"), [("kill", "start"), ("freeze", "thaw")], ids=["killed", "frozen"])
def test_without_their_database_all_answer_by_the_champion_alone_and_nothing_is_lost(
    here: Site, workers: list[Worker], load: Any, leave: str, come_back: str
) -> None:
    def seconds_without() -> float:
        rollout_id = here.start_rollout(workers, 0.5)
        took = seconds_without_a_database(
            here, workers, load, getattr(here.postgres, leave), getattr(here.postgres, come_back)
        )
        aborted(here, workers, rollout_id)
        return took

    kept(STALE_SECONDS, seconds_without)


def seconds_without_a_database(
    here: Site, workers: list[Worker], load: Any, leave: Callable[[], None], come_back: Callable[[], None]
) -> float:
    """Return how long a challenger answered after its database had left; hold that nothing is lost meanwhile."""
    unit = min(challenged(answers_of(here, workers)))
    since = datetime.now(UTC)
    asking = load(here.url, here.features, clients=2, model=MODEL, with_units=True)
    with Watch(workers, here.instances([unit])[0]).running() as watch, asking.running():
        watch.until_all_answer_by("2")
        gone = time.monotonic()
        leave()
        try:
            watch.until_all_answer_by("1")
            asking.wait_for(200)
            assert all("companion" in worker.detail()["problems"] for worker in workers)
            assert all(list((replica.home / "spool").glob("*.jsonl")) for replica in here.replicas)
        finally:
            back = time.monotonic()
            come_back()
        watch.until_all_answer_by("2")
        asking.wait_for(100)
    assert (asking.failed, watch.failed) == ([], [])
    answered = watch.prediction_ids + [prediction_id for prediction_id, *_ in asking.answered.values()]
    until(lambda: len(logged(here, since)) >= len(answered), told=lambda: (len(logged(here, since)), len(answered)))
    assert sorted(logged(here, since)) == sorted(answered)
    return watch.seconds_until_only("1", gone, back)


def test_an_alias_that_is_moved_by_hand_pauses_the_rollout_once_and_changes_nothing_served(
    here: Site, workers: list[Worker], load: Any
) -> None:
    rollout_id = here.start_rollout(workers, 0.5)
    before = answers_of(here, workers)
    registry = MlflowRegistry(here.tracking_uri)

    def history() -> list[tuple[str, str]]:
        return [(one["action"], one["actor"]) for one in here.api(f"/rollouts/{rollout_id}")["history"]]

    registry.set_alias(MODEL, "champion", "2")
    try:
        until(lambda: len(history()) > 1)
        moved = time.monotonic()
        while time.monotonic() - moved < 4 * POLL_SECONDS:  # both have looked again
            assert history() == [("started", "api"), ("paused", "companion")]
        assert answers_of(here, workers) == before
        assert {worker.served()["champion"] for worker in workers} == {"1"}
    finally:
        registry.set_alias(MODEL, "champion", "1")
    here.api(f"/rollouts/{rollout_id}/resume", {})
    aborted(here, workers, rollout_id)
