"""Two thresholds of one model in a rollout: two versions like any others, from training to the evaluation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import Engine

from bentos.promotions import follow
from bentos.worker import Worker
from database.engine import reading
from monitoring.shipper import Shipper
from registry.mlflow_registry import MlflowRegistry
from registry.model_cache import ModelCache
from registry.reference import Reference
from rollout import rollouts
from rollout.controller import Controller
from rollout.evaluations import newest
from rollout.evidence_sink import EvidenceSink
from rollout.known_plans import KnownPlans
from rollout.plan import Plan
from rollout.serving_state import ServingFile, ServingState, write_file
from rollout.serving_store import serving_states
from tests.fakes import pipelines
from tests.fakes.databases import migrated_engine
from tests.unit.bentos.conftest import Service
from training.config import TrainingConfig
from training.decision_version import set_threshold
from training.store import TrackingStore
from training.train import train

NOW = datetime.now(UTC)
PEOPLE = 30
PLAN: dict[str, Any] = {
    "model": "thresholds",
    "steps": [{"weight": 0.5}],
    "goals": [{"metric": "selection_rate", "positive": "yes", "margin": 0.01}],
}


@pytest.fixture
def registry(tmp_path: Path, store: TrackingStore) -> MlflowRegistry:
    """`thresholds`: version 1, the champion, decides at one half, version 2 at three tenths."""
    frame = pipelines.people(300, missing=False)
    frame["y"] = np.array(["no", "yes"])[pipelines.labels(frame)]
    frame.to_parquet(tmp_path / "people.parquet")
    content = {
        "name": "thresholds",
        "source": {"kind": "file", "path": tmp_path / "people.parquet"},
        "label": "y",
        "estimators": {"one": {"kind": "logistic_regression"}},
    }
    train(TrainingConfig.parse(content, where="test"), store=store, data_folder=tmp_path)
    registry = MlflowRegistry(store.tracking_uri)
    first = Reference("thresholds", version="1")
    made = set_threshold(
        first, 0.3, registry=registry, cache=ModelCache(tmp_path / "made"), store=store, actor="ada"
    )
    registry.set_alias("thresholds", "champion", "1")
    registry.set_alias("thresholds", "challenger", made.reference.version or "")
    return registry


def served(control: Engine, registry: MlflowRegistry, cache: ModelCache) -> ServingState:
    """Return what serves with its files in place, as the Companion tells workers."""
    state = serving_states(control)["thresholds"]
    folders = {
        one.version: str(cache.fetch(registry, registry.find(Reference("thresholds", version=one.version))))
        for one in state.versions()
    }
    champion, challenger = (one.model_copy(update={"folder": folders[one.version]}) for one in state.versions())
    return state.model_copy(update={"champion": champion, "challenger": challenger})


async def ask(client: httpx.AsyncClient, _worker: Worker) -> list[dict[str, Any]]:
    """Ask about each person under several units."""
    people = pipelines.people(PEOPLE, seed=7, missing=False).to_dict("records")
    instances = [{"features": people[index % PEOPLE], "unit": f"unit-{index}"} for index in range(4 * PEOPLE)]
    answer = await client.post("/predict", json={"instances": instances})
    assert answer.status_code == 200, answer.text
    predictions: list[dict[str, Any]] = answer.json()["predictions"]
    return predictions


@pytest.mark.long
def test_they_are_assigned_answered_and_compared_like_two_versions(
    tmp_path: Path, registry: MlflowRegistry
) -> None:
    control, log = (migrated_engine(tmp_path / f"{tree}.db", tree) for tree in ("control", "log"))
    follow(control, registry, NOW)
    started = rollouts.start(control, Plan.parse(PLAN), registry, actor="ada", now=NOW)
    service = Service(tmp_path / "home")
    state = served(control, registry, ModelCache(tmp_path / "models"))
    write_file(service.state_file, ServingFile(unit_salt="salt", models={"thresholds": state}))

    answered = service.run(ask)
    for index, one in enumerate(answered):
        assert one["probability"] == answered[index % PEOPLE]["probability"], "one model scores them all"
        threshold = {"champion": 0.5, "challenger": 0.3}[one["variant"]]
        assert one["prediction"] == ("yes" if one["probability"] >= threshold else "no")
    assert len({(one["variant"], one["prediction"]) for one in answered if 0.3 <= one["probability"] < 0.5}) == 2

    Shipper(service.home / "spool", log, [EvidenceSink(log, KnownPlans(control).find)]).ship()
    Controller(control, log, registry, holder="here").tick(NOW + timedelta(minutes=1))
    with reading(control) as connection:
        looked = newest(connection, started.id)
    assert looked is not None
    assert sum(looked.evaluation.units.values()) == len(answered)
    (judgement,) = looked.evaluation.judgements
    rates = {one.arm: one.rate for one in judgement.groups}
    assert rates["challenger"] > rates["control"]
    control.dispose()
    log.dispose()
