"""A worker with small real models, answering in process: no sockets, no Companion, the same code."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from prometheus_client import CollectorRegistry
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bentos.edge import FrontDoor
from bentos.forwarding import Companion
from bentos.settings import BatchingSettings, ServingSettings
from bentos.wire import Receive, Scope, Send
from bentos.worker import Worker
from inference.compile import compile_model
from monitoring.metrics import ServingMetrics
from monitoring.settings import MonitoringSettings
from rollout.serving_state import ServedVersion, ServingFile, ServingState, write_file


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
        self.closed = False
        self.models: dict[str, ServingState] = {}

    def serve(
        self,
        champion: Credit | Path | None,
        challenger: Credit | None = None,
        *,
        version: str = "1",
        **changes: Any,
    ) -> None:
        """Write the serving state as the Companion would; a path may hold anything, None is still being fetched."""
        folder = champion.folder if isinstance(champion, Credit) else champion
        values: dict[str, Any] = {
            "model": "credit",
            "epoch": 1,
            "champion": ServedVersion(version=version, digest=None, folder=None if folder is None else str(folder)),
            "salt": "r-001",
        }
        if challenger is not None:
            values["challenger"] = ServedVersion(version="2", digest=None, folder=str(challenger.folder))
        self.models = {**self.models, values["model"]: ServingState(**values | changes)}
        write_file(self.state_file, ServingFile(unit_salt="salt", models=self.models))

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
            metrics=ServingMetrics(CollectorRegistry()),
        )
        door = FrontDoor(_bentoml, worker, Companion(), closed=self.closed)
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
