"""People of the census who are asked about while a rollout runs, and the rollout as it is seen from outside."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
from sqlalchemy import select

from database.engine import reading, sqlite_engine
from monitoring.tables import PREDICTION
from sources.named import CensusPart, census_employment

ROWS = 15_000
PER_REQUEST = 50
CLIENTS = 3
REST_SECONDS = 0.03
"""Between two requests of a client: who decides gives way to who answers, and has its turns in these."""
SLO_MS = 400.0
"""As far from what a request takes on a busy machine as a proof of minutes allows."""

EVAL_SECONDS = 1

CANARY: list[dict[str, Any]] = [{"weight": 0.5, "min_units": 500, "max_duration": "1h", "min_duration": "1h"}]
"""One step in which nothing but harm ends the rollout."""

GUARDRAILS: list[dict[str, Any]] = [
    {"metric": "error_rate", "margin": 0.02},
    {"metric": "latency_slo", "slo_ms": SLO_MS, "margin": 0.05},
    {"metric": "dp_diff", "attribute": "SEX", "reference": "1", "margin": 0.05},
    {"metric": "accuracy", "margin": 0.03},
]


def plan(challenger: str, model: str, **change: Any) -> dict[str, Any]:
    """Return a plan that decides within seconds."""
    return {
        "model": model,
        "challenger": challenger,
        "guardrails": GUARDRAILS,
        "label_maturity": "2s",
        "eval_interval": f"{EVAL_SECONDS}s",
        "rollback_cooldown": "0s",
    } | change


def reference_people(data: Path) -> pd.DataFrame:
    """Return people of the first year with their label `employed`, as a table that somebody trains on."""
    table = census_employment().read(data).sample(n=ROWS, random_state=3)
    return table.drop(columns=["id", "year", "prediction", "predicted_probability"])


def unfairly_labelled(people: pd.DataFrame) -> pd.DataFrame:
    """Return the people with labels by which every third employed woman is not."""
    is_harmed = (
        (people["SEX"] == "2") & (people["employed"] == 1) & (np.random.default_rng(1).random(len(people)) < 0.3)
    )
    return people.assign(employed=people["employed"].where(~is_harmed, 0))


@dataclass
class People:
    """Clients that ask about people nobody asked about before, some at a time, and say later who was employed."""

    url: str
    people: pd.DataFrame
    columns: list[str]
    keep: Callable[[str], bool] = lambda _unit: True
    asked: int = 0
    answered: dict[str, str] = field(default_factory=dict)
    """The version that answered, by prediction id."""
    failed: dict[int, int] = field(default_factory=dict)
    last_of_challenger: datetime | None = None
    """When the challenger's last answer arrived."""

    @contextlib.contextmanager
    def asking(self, prefix: str) -> Iterator[People]:
        done = threading.Event()
        threads = [
            threading.Thread(target=self._ask, args=(f"{prefix}-{number}", number, done))
            for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            done.set()
            for thread in threads:
                thread.join(60)

    def _ask(self, prefix: str, number: int, done: threading.Event) -> None:
        random = np.random.default_rng(number)
        each_to_any_worker = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False, limits=each_to_any_worker) as client:
            for count in itertools.count():
                if done.is_set():
                    return
                drawn = self.people.iloc[random.integers(0, len(self.people), PER_REQUEST)].to_dict("records")
                units = [f"{prefix}-{count}-{index}" for index in range(PER_REQUEST)]
                chosen = [(unit, row) for unit, row in zip(units, drawn, strict=True) if self.keep(unit)]
                instances = [
                    {
                        "features": {column: row[column] for column in self.columns},
                        "unit": unit,
                        "protected": {"SEX": row["SEX"]},
                    }
                    for unit, row in chosen
                ]
                answer = client.post("/predict", json={"instances": instances})
                self.asked += len(instances)
                if answer.status_code != 200:
                    self.failed[answer.status_code] = self.failed.get(answer.status_code, 0) + 1
                    done.wait(0.05)
                    continue
                predictions = answer.json()["predictions"]
                if any(one["variant"] == "challenger" for one in predictions):
                    self.last_of_challenger = datetime.now(UTC)
                self.answered |= {one["prediction_id"]: one["model_version"] for one in predictions}
                outcomes = [
                    {"prediction_id": one["prediction_id"], "outcome": int(row["employed"])}
                    for one, (_, row) in zip(predictions, chosen, strict=True)
                ]
                # Idempotent, and a database that is busy for long refuses it: who has nothing to lose asks again.
                while client.post("/api/v1/outcomes", json=outcomes).is_server_error:
                    if done.wait(0.5):
                        return
                done.wait(REST_SECONDS)


def later_people(served: Any, model: str) -> People:
    """Return clients that ask about people of the later years."""
    data = served.home / "data"
    rows = census_employment(CensusPart.LATER_YEARS).read(data)
    labels = census_employment(CensusPart.LATER_LABELS).read(data)
    columns = [tensor["name"] for tensor in served.get(f"/v2/models/{model}").json()["inputs"]]
    return People(served.url, rows.merge(labels, on="id").sample(n=20_000, random_state=1), columns)


@dataclass
class Watched:
    """A rollout that was started, looked at through the API."""

    people: Any
    id: str

    def now(self) -> dict[str, Any]:
        found: dict[str, Any] = self.people.get(f"/api/v1/rollouts/{self.id}").json()
        return found

    def until(self, *states: str, seconds: float = 600.0) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while (found := self.now())["state"] not in states:
            assert time.monotonic() < deadline, (found["state"], found["reason"], self.evaluation())
            time.sleep(0.3)
        return found

    def evaluation(self) -> dict[str, Any]:
        newest: dict[str, Any] = self.people.get(f"/api/v1/rollouts/{self.id}/evaluations").json()
        return newest["evaluations"][-1] if newest["evaluations"] else newest

    def violated_at(self) -> datetime:
        """Return when the first evaluation was made that found anything to be violated."""
        found = self.people.get(f"/api/v1/rollouts/{self.id}/evaluations?limit=10000").json()["evaluations"]
        return min(
            datetime.fromisoformat(one["at"])
            for one in found
            if any(judged["verdict"] == "violated" for judged in one["evaluation"]["judgements"])
        )

    def violated(self) -> set[str]:
        """Return what the evaluation that ended it found to be violated."""
        judgements = self.evaluation()["evaluation"]["judgements"]
        return {one["guardrail"] for one in judgements if one["verdict"] == "violated"}


def start(people: Any, content: dict[str, Any]) -> Watched:
    # Steps of seconds are too short by what the last day's traffic says, and a stranger's version has no gates.
    answer = people.post("/api/v1/rollouts?override=the+proof+has+minutes+instead+of+days", content)
    assert answer.status_code == 201, answer.text
    return Watched(people, answer.json()["id"])


def champion(served: Any, model: str) -> str:
    """Return the version that the registry's alias names."""
    versions = served.get(f"/api/v1/models/{model}").json()["versions"]
    return next(one["version"] for one in versions if "champion" in one["aliases"])


def logged(served: Any, callers: str = "") -> dict[str, str]:
    """Return the version of every prediction in the embedded database, by its id; with `callers`, of those whose
    caller's own id begins so."""
    engine = sqlite_engine(served.home / "predictions.db")
    found = select(PREDICTION.c.prediction_id, PREDICTION.c.model_version)
    if callers:
        found = found.where(PREDICTION.c.caller_id.startswith(callers, autoescape=True))
    try:
        with reading(engine) as connection:
            return {row.prediction_id: row.model_version for row in connection.execute(found)}
    finally:
        engine.dispose()
