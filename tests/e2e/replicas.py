"""Two replicas on one PostgreSQL and one MLflow store, behind Envoy as `deploy/envoy.yaml` has it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from cli.children import answers, free_port, running, wait_until
from tests.e2e.conftest import ROOT, WORKERS, Deployment
from tests.environments import python_of
from tests.postgres import Postgres
from tests.waiting import PATIENCE, until

MODEL = "small"
STALE_SECONDS = 5.0 + 1.0
"""How long a worker trusts a split that nobody renews; and until it looks, on a machine that has much to do."""

Features = list[dict[str, Any]]


@dataclass
class Worker:
    """A connection to one worker of a replica: as long as it is kept, the same process answers on it."""

    pid: int
    client: httpx.Client

    def detail(self) -> dict[str, Any]:
        """Return what the worker's readiness says."""
        said: dict[str, Any] = self.client.get("/readyz").json()
        assert said["worker"] == self.pid, "the connection was made anew, to somebody else"
        return said

    def served(self) -> dict[str, Any]:
        """Return what the worker's readiness says of the model."""
        found: dict[str, Any] = self.detail()["models"][MODEL]
        return found

    def predict(self, instances: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return predict(self.client, instances)


def predict(client: httpx.Client, instances: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    response = client.post("/predict", json={"model": MODEL, "instances": instances})
    assert response.status_code == 200, response.text
    answered: list[dict[str, Any]] = response.json()["predictions"]
    return answered


def new_client(url: str) -> httpx.Client:
    """Return a client of one connection, kept; without certificates, whose reading takes longer than a request."""
    limits = httpx.Limits(max_connections=1, keepalive_expiry=None)
    return httpx.Client(base_url=url, timeout=60, verify=False, trust_env=False, limits=limits)


@contextlib.contextmanager
def workers_of(replicas: Sequence[Deployment]) -> Iterator[list[Worker]]:
    """Yield a connection to each worker of each replica."""
    with contextlib.ExitStack() as stack:
        found: list[Worker] = []

        def another(url: str, known: set[int]) -> Worker | None:
            client = new_client(url)
            pid = client.get("/readyz").json()["worker"]
            if pid in known:
                client.close()
                return None
            stack.callback(client.close)
            return Worker(pid, client)

        for replica in replicas:
            known: set[int] = set()
            while len(known) < WORKERS:
                worker = until(lambda url=replica.url, known=known: another(url, known))
                known.add(worker.pid)
                found.append(worker)
        yield found


@dataclass
class Watch:
    """Asks every worker for the same unit over and over: by worker, when it was asked, and the version and id of
    its answer."""

    workers: Sequence[Worker]
    instance: dict[str, Any]
    seen: dict[int, list[tuple[float, str, str]]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[Watch]:
        done = threading.Event()
        self.seen = {worker.pid: [] for worker in self.workers}
        asking = [threading.Thread(target=self._ask, args=(one, done), daemon=True) for one in self.workers]
        for thread in asking:
            thread.start()
        try:
            yield self
        finally:
            done.set()
            for thread in asking:
                thread.join(60)

    def until_all_answer_by(self, version: str) -> None:
        """Return when the last ten answers of every worker, given from now on, are by one version."""
        before = {pid: len(seen) for pid, seen in self.seen.items()}

        def are_by_it() -> bool:
            since = [seen[before[pid] :][-10:] for pid, seen in self.seen.items()]
            return all(len(last) == 10 and {by for _, by, _ in last} == {version} for last in since)

        until(are_by_it, told=lambda: f"not by {version}: {[seen[-1][1:2] for seen in self.seen.values()]}")

    def seconds_until_only(self, version: str, since: float, till: float | None = None) -> float:
        """Return how many seconds after `since` whoever asked any worker was last answered by another version."""
        ended = time.monotonic() if till is None else till
        others = [at for seen in self.seen.values() for at, by, _ in seen if by != version and since <= at < ended]
        return max(others, default=since) - since

    @property
    def prediction_ids(self) -> list[str]:
        return [prediction_id for seen in self.seen.values() for *_, prediction_id in seen]

    def _ask(self, worker: Worker, done: threading.Event) -> None:
        while not done.is_set():
            asked = time.monotonic()
            try:
                (answer,) = worker.predict([self.instance])
            except (httpx.HTTPError, AssertionError) as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                return
            self.seen[worker.pid].append((asked, answer["model_version"], answer["prediction_id"]))
            done.wait(0.01)


def proxied(replicas: Sequence[Deployment], http: int, grpc: int, admin: int) -> str:
    """Return `deploy/envoy.yaml` with the ports of a test instead of its own."""
    config = yaml.safe_load((ROOT / "deploy" / "envoy.yaml").read_text(encoding="utf-8"))
    config["admin"]["address"]["socket_address"]["port_value"] = admin
    resources = config["static_resources"]
    for listener in resources["listeners"]:
        listener["address"]["socket_address"]["port_value"] = {"http": http, "grpc": grpc}[listener["name"]]
    for cluster in resources["clusters"]:
        (endpoints,) = cluster["load_assignment"]["endpoints"]
        for endpoint, replica in zip(endpoints["lb_endpoints"], replicas, strict=True):
            port = replica.grpc_port if cluster["name"] == "grpc" else int(replica.url.rpartition(":")[2])
            endpoint["endpoint"]["address"]["socket_address"]["port_value"] = port
    return json.dumps(config)


@dataclass
class Site:
    """The replicas, the proxy in front of them, and what they share."""

    postgres: Postgres
    database: str
    tracking_uri: str
    replicas: list[Deployment]
    url: str
    grpc_port: int
    features: Features

    def client(self) -> httpx.Client:
        """Return a connection to the proxy."""
        return new_client(self.url)

    def api(self, path: str, body: Any = None, **query: str) -> dict[str, Any]:
        """Return what the control API answers through the proxy, to a POST where there is a body."""
        with self.client() as client:
            path = f"/api/v1{path}"
            response = client.get(path) if body is None else client.post(path, json=body, params=query)
        assert response.is_success, response.text
        said: dict[str, Any] = response.json()
        return said

    def start_rollout(self, workers: Sequence[Worker], weight: float) -> str:
        """Start a manual split between version 1 and version 2; return its id once every worker follows."""
        rollout_id: str = self.api("/rollouts", split(weight), override="a proof")["id"]
        follow(workers, weight)
        return rollout_id

    def instances(self, units: Sequence[str]) -> list[dict[str, Any]]:
        """Return a row for each unit, the same row for the same place."""
        count = len(self.features)
        return [{"features": self.features[at % count], "unit": unit} for at, unit in enumerate(units)]


def split(weight: float) -> dict[str, Any]:
    """Return the plan of a manual split between version 1, the champion, and version 2."""
    return {"model": MODEL, "challenger": "2", "steps": [{"weight": weight}]}


def follow(workers: Sequence[Worker], weight: float) -> None:
    """Return when every worker splits with this weight, the challenger loaded."""
    for worker in workers:
        until(
            lambda said=worker.served: (said()["challenger"], said()["weight"]) == ("2", weight),
            told=lambda detail=worker.detail: detail(),
        )


@contextlib.contextmanager
def site(home: Path, replicas: Sequence[Deployment], **shared: Any) -> Iterator[Site]:
    """Start the replicas and Envoy, and end them all."""
    with contextlib.ExitStack() as stack:
        with ThreadPoolExecutor(len(replicas)) as pool:  # side by side, as they may well be started
            served = list(pool.map(lambda replica: stack.enter_context(replica.serving()), replicas))
        for replica in served:
            replica.wait_for_workers(lambda detail: MODEL in detail["models"])
        http, grpc, admin = free_port(), free_port(), free_port()
        config = home / "envoy.json"
        config.write_text(proxied(served, http, grpc, admin))
        envoy = python_of(ROOT / "tests" / "e2e" / "servers" / "envoy").with_name("envoy")
        command = [str(envoy), "-c", str(config), "--concurrency", "1", "--disable-hot-restart"]
        log = home / "envoy.log"
        process = stack.enter_context(running("Envoy", command, {}, log))
        url = f"http://127.0.0.1:{http}"
        wait_until("Envoy", process, log, lambda: answers(f"{url}/readyz"), PATIENCE)
        made = Site(replicas=served, url=url, grpc_port=grpc, **shared)
        with workers_of(served) as workers, made.client() as client:
            pids = [worker.pid for worker in workers]
            unmet = {0, 1}  # the replicas' places; of each, the proxy keeps its connection to one worker

            def both_are_met() -> bool:
                unmet.discard(pids.index(client.get("/readyz").json()["worker"]) // WORKERS)
                return not unmet

            until(both_are_met, told=lambda: f"Envoy leaves replica {unmet} out: {log.read_text()[-2_000:]}")
        yield made
