"""A worker with small real models, and a Companion over a registry in memory; in process, the same code."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import uvicorn
import uvicorn.protocols.http.auto
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from access.keyring import Keyring
from bentos import forwarding
from bentos.admission import Admission
from bentos.companion import Companion
from bentos.configuration import Settings
from bentos.control_api import control_api
from bentos.edge import FrontDoor
from bentos.protocol import DirectExchange, HotProtocol
from bentos.settings import BatchingSettings, RunnerSettings, ServingSettings
from bentos.wire import Receive, Scope, Send
from bentos.worker import Worker
from compilation.compile import compile_model
from database.settings import DatabaseSettings
from monitoring.metrics import ServingMetrics
from monitoring.settings import MonitoringSettings
from registry.digest import digest_folder
from registry.gate_record import GATES_TAG, GateKind, GateRecord, GateResult, GateVerdict
from registry.settings import RegistrySettings
from registry.versions import DIGEST_TAG
from rollout.serving_state import ServedVersion, ServingFile, ServingState, write_file
from tests.fakes.databases import place_databases
from tests.fakes.registry import FakeRegistry
from tests.fakes.site import Site, nothing
from tests.unit.bentos.strict_model import Strict, save_strict


@dataclass(frozen=True)
class Credit:
    """A small credit model with its rows, stored as a worker loads it."""

    model: Pipeline
    frame: pd.DataFrame
    folder: Path

    def instances(self, count: int, **more: Any) -> list[dict[str, Any]]:
        """Return the first rows as `/predict` takes them."""
        return [{"features": row, **more} for row in self.frame.head(count).to_dict("records")]

    def probabilities(self, count: int) -> list[float]:
        """Return P(classes[1]) of the first rows, by scikit-learn."""
        return list(self.model.predict_proba(self.frame.head(count))[:, 1])


def fit_credit(seed: int, folder: Path) -> Credit:
    random = np.random.default_rng(seed)
    n = 400
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 80, n).astype(float),
            "amount": random.normal(3000, 1000, n),
            "job": random.choice(["nurse", "smith", "clerk"], n),
        }
    )
    label = (frame["age"] / 40 + (frame["job"] == "smith") + random.normal(0, 1, n) > 2).astype(int)
    numbers = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    columns = ColumnTransformer(
        [("n", numbers, ["age", "amount"]), ("c", OneHotEncoder(handle_unknown="error"), ["job"])]
    )
    model = Pipeline([("columns", columns), ("model", LogisticRegression())]).fit(frame, label)
    compile_model(model, frame).save(folder / "fairmind")
    return Credit(model, frame, folder)


@pytest.fixture(scope="session", autouse=True)
def _heap_left_untidied() -> Iterator[None]:
    """A worker looks through its heap at each swap; here that holds all the tests, and takes most of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bentos.loaded.tidy_heap", lambda: None)
        yield


@pytest.fixture(scope="session")
def credit(tmp_path_factory: pytest.TempPathFactory) -> Credit:
    return fit_credit(0, tmp_path_factory.mktemp("champion"))


@pytest.fixture(scope="session")
def credit_challenger(tmp_path_factory: pytest.TempPathFactory) -> Credit:
    return fit_credit(1, tmp_path_factory.mktemp("challenger"))


class Service:
    """One worker behind its front door."""

    def __init__(self, home: Path, **serving: Any) -> None:
        self.home = home
        self.state_file = home / "run" / "serving.json"
        self.serving = ServingSettings(**serving)
        self.monitoring = MonitoringSettings()
        self.requires_keys = False
        self.keys_file = home / "run" / "keys.json"
        self.models: dict[str, ServingState] = {}

    def serve(
        self,
        champion: Credit | Path | None,
        challenger: Credit | None = None,
        *,
        version: str = "1",
        digest: str | None = None,
        **changes: Any,
    ) -> None:
        """Write the serving state as the Companion would; a path may hold anything, None is still being fetched."""
        folder = champion.folder if isinstance(champion, Credit) else champion
        values: dict[str, Any] = {
            "model": "credit",
            "epoch": 1,
            "champion": ServedVersion(version=version, digest=digest, folder=folder and str(folder)),
            "salt": "r-001",
        }
        if challenger is not None:
            values["challenger"] = ServedVersion(version="2", digest=None, folder=str(challenger.folder))
        state = ServingState(**values | changes)
        self.models = {**self.models, state.model: state}
        write_file(self.state_file, ServingFile(unit_salt="salt", models=self.models))

    def admission(self) -> Admission:
        """Return what lets requests in, by the keys in the file."""
        return Admission(Keyring(self.keys_file), required=self.requires_keys)

    def age_state(self, seconds: float) -> None:
        """Make the serving state look as if nobody had renewed it for so long."""
        status = self.state_file.stat()
        os.utime(self.state_file, (status.st_atime, status.st_mtime - seconds))

    def run(self, scenario: Callable[[httpx.AsyncClient, Worker], Any]) -> Any:
        return asyncio.run(self._run(scenario))

    async def _run(self, scenario: Callable[[httpx.AsyncClient, Worker], Any]) -> Any:
        worker = Worker(
            state_file=self.state_file,
            spool=self.home / "spool",
            serving=self.serving,
            batching=BatchingSettings(),
            monitoring=self.monitoring,
            metrics=ServingMetrics(),
        )
        door = FrontDoor(_bentoml, worker, forwarding.Companion(), self.admission())
        await worker.start()
        try:
            transport = httpx.ASGITransport(door)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await scenario(client, worker)
        finally:
            await worker.stop()


async def _bentoml(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands where BentoML's application does: whatever falls through is 418."""
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def gated(folder: Path, verdict: GateVerdict = GateVerdict.PASS) -> dict[str, str]:
    """Return the tags of a version of ours: the digest of its files, and what its one gate said."""
    digest = digest_folder(folder)
    gate = GateResult(
        kind=GateKind.BIAS,
        metric="equalized_odds_difference",
        attribute="SEX",
        value=0.17,
        limit=0.1,
        verdict=verdict,
    )
    return {DIGEST_TAG: digest, GATES_TAG: GateRecord(digest=digest, results=(gate,)).to_json()}


@pytest.fixture
def registry(credit: Credit, credit_challenger: Credit) -> FakeRegistry:
    """`credit` with champion 1, challenger 2, and 3, which its gate refuses."""
    registry = FakeRegistry()
    registry.register("credit", credit.folder, gated(credit.folder))
    registry.register("credit", credit_challenger.folder, gated(credit_challenger.folder))
    registry.register("credit", credit_challenger.folder, gated(credit_challenger.folder, GateVerdict.FAIL))
    registry.set_alias("credit", "champion", "1")
    registry.set_alias("credit", "challenger", "2")
    return registry


@pytest.fixture
def new_companion(
    tmp_path: Path, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Companion]]:
    """Makes Companions over one temporary home; they are stopped afterwards."""
    monkeypatch.setattr("bentos.companion.open_registry", lambda _settings, _home: registry)
    made: list[Companion] = []
    place_databases(tmp_path / "home")

    def make(
        poll_seconds: float = 0.05,
        models: str = "",
        tracking_uri: str | None = None,
        give_way: Callable[[], None] = lambda: None,
    ) -> Companion:
        settings = Settings(
            DatabaseSettings(FAIRMIND_HOME=tmp_path / "home"),
            RegistrySettings(poll_seconds=poll_seconds, tracking_uri=tracking_uri),
            ServingSettings(models=models),
            BatchingSettings(),
            RunnerSettings(),
            MonitoringSettings(ship_seconds=0.05),
        )
        made.append(Companion(settings, ServingMetrics(), give_way))
        return made[-1]

    yield make
    for companion in made:
        companion.stop()
        companion.control.dispose()
        companion.log.dispose()


@pytest.fixture
def companion(new_companion: Callable[..., Companion]) -> Companion:
    """A Companion whose loops do not run."""
    return new_companion()


Api = Callable[..., httpx.Response]


@pytest.fixture
def api(companion: Companion, tmp_path: Path) -> Api:
    """Asks the control API; an exception that leaves it fails the test."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    application = control_api(companion, folder)

    async def ask(method: str, path: str, **request: Any) -> httpx.Response:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **request)

    return lambda method, path, **request: asyncio.run(ask(method, path, **request))


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Strict:
    return save_strict(tmp_path_factory.mktemp("strict"))


@pytest.fixture
def serving(service: Service, strict: Strict) -> Any:
    """A worker that serves models which forgive nothing."""
    return strict.served_by(service)


@pytest.fixture
def site(service: Any, credit: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a scenario against a real server on a free port of loopback."""
    service.serve(credit)

    async def run(scenario: Any) -> None:
        async def with_worker(_client: httpx.AsyncClient, worker: Worker) -> None:
            direct: list[str] = []

            class Door(FrontDoor):
                async def answer_entered(self, exchange: Any) -> None:
                    if isinstance(exchange, DirectExchange):
                        direct.append(exchange.path)
                    await super().answer_entered(exchange)

            door = Door(nothing, worker, forwarding.Companion(), service.admission())
            monkeypatch.setattr(uvicorn.protocols.http.auto, "AutoHTTPProtocol", HotProtocol)
            HotProtocol.install(door, idle_seconds=1)
            config = uvicorn.Config(door, host="127.0.0.1", port=0, lifespan="off", log_config=None, ws="none")
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server._serve())
            while not server.started:
                await asyncio.sleep(0.01)
            try:
                await scenario(Site(server, worker, direct))
            finally:
                server.should_exit = True
                await serving

        await service._run(with_worker)

    return lambda scenario, run_loop=asyncio.run: run_loop(run(scenario))
