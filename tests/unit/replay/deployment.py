"""A deployment in a folder: versions in a registry, what they answered in the log, and what makes it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sqlalchemy import Engine

from compilation.compile import compile_model
from inference.columns import columns_from_rows
from inference.loading import load_model
from inference.served_model import ServedModel
from monitoring.archive import Archive
from monitoring.feature_store import FeatureStore
from monitoring.predictions import SegmentWriter
from monitoring.shipper import Shipper
from registry.digest import digest_folder
from registry.gate_record import GATES_TAG, GateRecord
from registry.model_cache import ModelCache
from registry.training_run import TrainingRun
from registry.versions import DIGEST_TAG, ModelVersion
from replay.reproduction import Reproducer, Reproduction
from rollout.serving_store import write_state
from tests.fakes.databases import migrated_engine
from tests.fakes.records import prediction_record
from tests.fakes.registry import FakeRegistry

LINEAR, TREES, THRESHOLD = "1", "2", "3"


def people(rows: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.normal(45, 15, rows),
            "amount": random.lognormal(8, 1, rows),
            "job": random.choice(["nurse", "smith", "clerk"], rows),
        }
    )


def write_versions(root: Path) -> dict[str, Path]:
    """Return folders with the files of three versions: a linear one, trees, and the first with a threshold."""
    frame = people(300)
    label = (frame["age"] / 15 + (frame["job"] == "smith") + people(300, seed=1)["age"] / 45 > 4).astype(int)
    encoders = {
        LINEAR: [("n", StandardScaler(), ["age", "amount"]), ("c", OneHotEncoder(), ["job"])],
        TREES: [("n", "passthrough", ["age", "amount"]), ("c", OrdinalEncoder(), ["job"])],
    }
    estimators = {LINEAR: LogisticRegression(), TREES: HistGradientBoostingClassifier(max_iter=20, random_state=0)}
    folders = {}
    for number, estimator in estimators.items():
        folder = folders[number] = root / number
        model = Pipeline([("columns", ColumnTransformer(encoders[number])), ("model", estimator)]).fit(frame, label)
        compile_model(model, frame).save(folder / "fairmind")
        (folder / "MLmodel").write_text(f"run_id: run-{number}\n")
        (folder / "requirements.txt").write_text("scikit-learn==1.9.1\n# a note\nnumpy==2.4.6\n")
        (folder / "python_env.yaml").write_text("python: 3.11.7\n")
    folders[THRESHOLD] = root / THRESHOLD
    shutil.copytree(folders[LINEAR], folders[THRESHOLD])
    (folders[THRESHOLD] / "fairmind" / "decision.json").write_text(json.dumps({"threshold": 0.4}))
    return folders


@contextmanager
def loaded(folder: Path) -> Iterator[ServedModel]:
    yield load_model(folder / "fairmind")


@dataclass
class Deployment:
    """Everything that a decision is made again with; `reproducer` is new each time, as after a restart."""

    root: Path
    control: Engine
    log: Engine
    registry: FakeRegistry
    folders: dict[str, Path]

    @classmethod
    def at(cls, root: Path, folders: dict[str, Path]) -> Deployment:
        made = cls(
            root,
            migrated_engine(root / "control.db", "control"),
            migrated_engine(root / "log.db", "log"),
            FakeRegistry(),
            folders,
        )
        for number in sorted(folders):
            made.register(folders[number], run_id=f"run-{number}")
        return made

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def store(self) -> FeatureStore:
        return FeatureStore(self.root / "features")

    @property
    def cache(self) -> ModelCache:
        return ModelCache(self.root / "models")

    @property
    def reproducer(self) -> Reproducer:
        return Reproducer(self.control, self.log, self.store, self.spool, self.cache, self.registry, loaded)

    def register(self, folder: Path, run_id: str) -> ModelVersion:
        digest = digest_folder(folder)
        tags = {DIGEST_TAG: digest, GATES_TAG: GateRecord(digest=digest).to_json(), "fairmind.data": "sha256:rows"}
        commits = {"mlflow.source.git.commit": "abc", "fairmind.code": "def"}
        self.registry.runs[run_id] = TrainingRun(run_id, {"C": "1.0"}, commits, {"credit": "rows"})
        return self.registry.register("credit", folder, tags, run_id)

    def forget_versions(self) -> None:
        """Delete every version from the registry; the next one is 1 again."""
        for version in self.registry.versions("credit"):
            self.registry.delete("credit", version.version)

    def keep_copies(self) -> None:
        """Fetch every version, as the Companion does of those that are to serve."""
        for version in self.registry.versions("credit"):
            self.cache.fetch(self.registry, version)

    def serve(self, number: str, digest: str) -> None:
        """Let a version be the champion that serves now."""
        with self.control.begin() as connection:
            now = datetime.now(UTC)
            write_state(
                connection, "credit", now, champion_version=number, champion_digest=digest, salt="s", weight_bp=0
            )

    def answer(self, number: str, request_id: str, rows: Sequence[dict[str, Any]], **changes: Any) -> list[str]:
        """Answer rows in one batch and append them to the spool, as a worker does; return their ids."""
        model = load_model(self.folders[number] / "fairmind")
        answered = model.predict(columns_from_rows(list(rows), model.signature), len(rows))
        scores = answered.scores(model.signature)
        assert scores is not None
        values: dict[str, Any] = {
            "model_version": number,
            "served_at": 1_790_000_000.123457,
            "predictions": answered.prediction.tolist(),
            "scores": scores.tolist(),
            "features": list(rows),
        }
        writer = SegmentWriter(self.spool, segment_bytes=10_000_000, spool_bytes=100_000_000)
        writer.append([prediction_record(request_id, len(rows), **values | changes)])
        writer.close()
        return [f"{request_id}-{place}" for place in range(len(rows))]

    def ship(self) -> None:
        Shipper(self.spool, self.log, archives=True).ship()

    def settle(self) -> None:
        """Ship and archive, as the Companion does."""
        self.ship()
        Archive(self.spool, self.log, self.store).work()

    def reproduce(self, prediction_id: str) -> Reproduction:
        reproducer = self.reproducer
        return reproducer.reproduce(reproducer.find(prediction_id))
