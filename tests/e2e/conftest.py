"""A real deployment: two versions trained on the census, gated, promoted, and served by two worker processes."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from cli.children import answers, free_port, running, wait_until
from sources.named import CensusPart, census_employment
from tests.conftest import THREADS
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]
FAIRMIND = Path(sys.executable).with_name("fairmind")
WORKERS = 2


@dataclass
class Deployment:
    """A home, the `fairmind` command in it, and the server that was started on it."""

    home: Path
    url: str = ""
    pid: int = 0
    grpc_port: int = 0
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        ours = ("FAIRMIND_", "MLFLOW_", *THREADS)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | {"FAIRMIND_HOME": str(self.home)} | self.settings

    @property
    def server_log(self) -> Path:
        return self.home / "logs" / "server.log"

    def fairmind(self, *arguments: str, status: int = 0) -> Any:
        """Run a command with --json and return what it printed; its exit status must be `status`."""
        command = [str(FAIRMIND), *arguments, "--json"]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, cwd=self.home, check=False
        )
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else done.stderr

    @contextlib.contextmanager
    def serving(
        self, *, until: str = "/readyz", within: Sequence[str] = (), **settings: str
    ) -> Iterator[Deployment]:
        """Start `fairmind serve` on a free port, wait until it predicts (or whatever route `until` answers 200),
        and end it by its own process id. `within` is a command that runs the command it is given."""
        port, grpc_port = free_port(), free_port()
        url = f"http://127.0.0.1:{port}"
        served = Deployment(self.home, url, grpc_port=grpc_port, settings={**self.settings, **settings})
        command = [*within, str(FAIRMIND), "serve", "--port", str(port), "--grpc-port", str(grpc_port)]
        command += ["--workers", str(WORKERS)]
        with running("the server", command, served.environment, served.server_log) as process:
            served.pid = process.pid
            ready = served.url + until
            wait_until("the server", process, served.server_log, lambda: answers(ready), PATIENCE)
            yield served

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, trust_env=False)

    def post(self, path: str, body: Any) -> httpx.Response:
        return httpx.post(self.url + path, json=body, timeout=60, trust_env=False)

    def bentoml(self, api: str, **arguments: Any) -> Any:
        """Return what BentoML's own client gets, in a program of its own as a user's would be."""
        code = (
            "import bentoml, json, sys\n"
            "with bentoml.SyncHTTPClient(sys.argv[1]) as client:\n"
            "    print(json.dumps(getattr(client, sys.argv[2])(**json.load(sys.stdin))))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, self.url, api],
            input=json.dumps(arguments),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def predict(self, instances: list[dict[str, Any]], model: str | None = None) -> list[dict[str, Any]]:
        body = {"instances": instances} | ({"model": model} if model else {})
        response = self.post("/predict", body)
        assert response.status_code == 200, response.text
        answered: list[dict[str, Any]] = response.json()["predictions"]
        return answered

    def wait_for_workers(self, claim: Callable[[dict[str, Any]], bool]) -> float:
        """Return the seconds until every worker's readiness says `claim`; a new connection reaches any of them."""
        began = time.monotonic()
        agreeing: set[int] = set()
        detail: dict[str, Any] = {}

        def all_agree() -> bool:
            detail.update(self.get("/readyz").json())
            if claim(detail):
                agreeing.add(detail["worker"])
            else:
                agreeing.clear()
            return len(agreeing) == WORKERS

        until(all_agree, told=lambda: f"not every worker followed: {detail}")
        return time.monotonic() - began


@dataclass
class Load:
    """Clients that ask for one row at a time, each its next as soon as it is answered.

    `answered` has the prediction id, the version and the seconds of each answer by the id its caller gave it, which
    begins with `prefix`; `refused` are those ids that were answered with an error. A unit is asked about once.

    Before each question a client rests: the Companion gives way to who answers, and without it has no turn for as
    long as a load lasts that fills the machine.
    """

    url: str
    features: list[dict[str, Any]]
    clients: int = 8
    model: str | None = None
    prefix: str = ""
    with_units: bool = False
    rest_seconds: float = 0.03
    answered: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    @contextlib.contextmanager
    def running(self) -> Iterator[Load]:
        """Ask for as long as the block runs, and until what was asked then is answered."""
        done = threading.Event()
        asking = [
            threading.Thread(target=self._ask, args=(number, done), daemon=True) for number in range(self.clients)
        ]
        for thread in asking:
            thread.start()
        try:
            yield self
        finally:
            done.set()
            for thread in asking:
                thread.join(60)

    def wait_for(self, more: int) -> None:
        """Return when so many more are answered."""
        wanted = len(self.answered) + more
        until(
            lambda: len(self.answered) >= wanted,
            told=lambda: f"{len(self.answered)} of {wanted} answered; {self.failed[-1:]}",
            progress=lambda: len(self.answered),
        )

    def _ask(self, number: int, done: threading.Event) -> None:
        with httpx.Client(base_url=self.url, timeout=30, trust_env=False) as client:
            for count in itertools.count():
                if done.wait(self.rest_seconds):
                    return
                caller_id = f"{self.prefix}{number}-{count}"
                instance = {"features": self.features[count % len(self.features)], "id": caller_id}
                if self.with_units:
                    instance["unit"] = caller_id
                body: dict[str, Any] = {"instances": [instance]}
                began = time.monotonic()
                try:
                    response = client.post("/predict", json=body | ({"model": self.model} if self.model else {}))
                except httpx.HTTPError as error:
                    self.failed.append(type(error).__name__)
                    continue
                if response.status_code != 200:
                    self.failed.append(f"{response.status_code}: {response.text}")
                    self.refused.add(caller_id)
                    continue
                (one,) = response.json()["predictions"]
                took = time.monotonic() - began
                self.answered[caller_id] = (one["prediction_id"], one["model_version"], took)


@pytest.fixture
def load() -> type[Load]:
    return Load


@pytest.fixture
def fairmind() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the command in a folder whose `home` is the deployment's."""

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = Deployment(folder / "home").environment
        command = [str(FAIRMIND), *arguments]
        return subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, timeout=600, check=False
        )

    return run


@pytest.fixture(scope="session")
def new_deployment() -> Callable[[Path], Deployment]:
    """Return a function that makes a deployment of its own on an empty home."""

    def make(home: Path) -> Deployment:
        home.mkdir()
        return Deployment(home)

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A home with employment/1 (logistic, champion) and employment/2 (boosted, challenger)."""
    deployment = Deployment(tmp_path_factory.mktemp("home"))
    deployment.fairmind("train", str(ROOT / "training" / "configs" / "employment.yaml"))
    deployment.fairmind("models", "promote", "employment/1")
    deployment.fairmind("models", "promote", "employment/2", "--alias", "challenger")
    return deployment


@pytest.fixture(scope="session")
def served(trained: Deployment) -> Iterator[Deployment]:
    with trained.serving() as deployment:
        deployment.wait_for_workers(lambda detail: detail["ready"])
        yield deployment


@pytest.fixture(scope="session")
def census(trained: Deployment) -> pd.DataFrame:
    """5,000 people of the later years with their labels."""
    data = trained.home / "data"
    rows = census_employment(CensusPart.LATER_YEARS).read(data)
    labels = census_employment(CensusPart.LATER_LABELS).read(data)
    return rows.merge(labels, on="id").sample(n=5_000, random_state=1).reset_index(drop=True)


@pytest.fixture(scope="session")
def columns(served: Deployment) -> list[str]:
    return [tensor["name"] for tensor in served.get("/v2/models/employment").json()["inputs"]]


@pytest.fixture(scope="session")
def instances(census: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "features": {column: row[column] for column in columns},
            "unit": f"person-{row['id']}",
            "protected": {"SEX": row["SEX"], "RAC1P": row["RAC1P"]},
        }
        for row in census.to_dict("records")
    ]


def small_rows(count: int) -> pd.DataFrame:
    """People of our own making with a label, as a table that somebody trains on."""
    random = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 80, count).astype(float),
            "amount": random.normal(3000, 1000, count).round(2),
            "job": random.choice(["nurse", "smith", "clerk"], count),
        }
    )
    return frame.assign(good=(frame["age"] / 40 + (frame["job"] == "smith") + random.normal(0, 1, count) > 2) * 1)


@pytest.fixture(scope="session")
def small_features() -> list[dict[str, Any]]:
    """Rows of the model `small`."""
    rows: list[dict[str, Any]] = small_rows(200).drop(columns="good").to_dict("records")
    return rows


@pytest.fixture(scope="session")
def train_small() -> Callable[[Deployment], None]:
    """Return a function that trains `small` in a home: versions 1 (logistic) and 2 (boosted); 1 is champion."""

    def train(deployment: Deployment) -> None:
        table, config = deployment.home.parent / "small.csv", deployment.home.parent / "small.yaml"
        small_rows(1_500).to_csv(table, index=False)
        config.write_text("name: small\nsource: {kind: file, path: small.csv}\nlabel: good\nfavourable: 1\n")
        deployment.fairmind("train", str(config))
        deployment.fairmind("models", "promote", "small/1")

    return train


@pytest.fixture(scope="session")
def small_home(tmp_path_factory: pytest.TempPathFactory, train_small: Callable[[Deployment], None]) -> Path:
    """A home with `small`, trained once for all processes of a run: to be copied, not to be changed."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small"
    folder.mkdir(exist_ok=True)
    home, trained = folder / "home", folder / "trained"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not trained.exists():
            home.mkdir()
            train_small(Deployment(home))
            trained.touch()
    return home


@pytest.fixture(scope="session")
def new_small(small_home: Path) -> Callable[[Path], Deployment]:
    """Return a function that makes a deployment with `small`; what its registry names lies where it was trained."""

    def make(home: Path) -> Deployment:
        shutil.copytree(small_home, home)
        return Deployment(home)

    return make
