"""A log to replay: `python logged.py HOME NAME ROWS PEOPLE.parquet FOLDER` fills FOLDER with ROWS logged answers.

They are those of the first version of a model in HOME, in requests of one row, each of its own unit, with two
protected attributes and an outcome that came a day later. Its first two versions' files lie beside as `1` and `2`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import insert

from database.engine import sqlite_engine
from database.migrate import upgrade
from inference.frames import columns_from_frame
from inference.loading import load_model
from inference.served_model import ServedModel
from monitoring.feature_store import FeatureStore, feature_path, file_row
from monitoring.feature_table import AS_JSON, ID, PREDICTION, SCORE, SERVED_AT, TIME, VARIANT
from monitoring.tables import FEATURE_FILE, OUTCOME, PROTECTED_ATTRIBUTE
from monitoring.tables import PREDICTION as PREDICTIONS
from registry.mlflow_registry import MlflowRegistry
from registry.reference import Reference

UNTIL = datetime(2026, 2, 1, tzinfo=UTC)
SECONDS = 28 * 86_400
BATCH = 100_000


@dataclass
class Log:
    """Where answers of a model go; `rows` is how many there will be, spread over four weeks."""

    place: Path
    name: str
    rows: int

    def __post_init__(self) -> None:
        self.engine, self.store = (
            sqlite_engine(self.place / "predictions.db"),
            FeatureStore(self.place / "features"),
        )
        upgrade(self.engine, "log", self.place / "migrate.lock")

    def add(self, start: int, asked: pd.DataFrame, served: ServedModel) -> None:
        """Log a batch of answers as the shipper, the archive and the outcomes' route would."""
        columns, count = columns_from_frame(asked, served.signature)
        answers = served.predict(columns, count)
        features, labels, scores = asked[list(columns)], answers.prediction, np.asarray(answers.probabilities)[:, 1]
        rows, name, store, engine = self.rows, self.name, self.store, self.engine
        places = range(start, start + len(features))
        times = [UNTIL - timedelta(seconds=SECONDS * (rows - place) / rows) for place in places]
        requests = [f"{place:08x}-0000-7000-8000-{place:012x}" for place in places]
        ids = [f"{request}-0" for request in requests]
        ours = {
            ID: pa.array(ids),
            SERVED_AT: pa.array(times, TIME),
            VARIANT: pa.array(["champion"] * len(ids)),
            PREDICTION: pa.array([str(label) for label in labels.tolist()]),
            SCORE: pa.array(scores),
        }
        table = pa.table(ours).set_column(3, pa.field(PREDICTION, pa.string(), metadata=AS_JSON), ours[PREDICTION])
        for column in features:
            table = table.append_column(column, pa.Array.from_pandas(features[column]))
        path = feature_path(name, "1", times[0], f"{start}")
        size = store.write(path, table)
        outcomes = asked["employed"].tolist()
        common = {"model": name, "model_version": "1", "variant": "champion", "epoch": 1, "protocol": "predict"}
        with engine.begin() as connection:
            connection.execute(insert(FEATURE_FILE), file_row(path, name, "1", table, size))
            connection.execute(
                insert(PREDICTIONS),
                [
                    common
                    | {"prediction_id": id_, "request_id": request, "served_at": time, "latency_us": 500}
                    | {"unit_hash": f"{place:032x}", "prediction": label, "score": score, "is_repeat": False}
                    for place, id_, request, time, label, score in zip(
                        places, ids, requests, times, labels.tolist(), scores.tolist(), strict=True
                    )
                ],
            )
            for attribute in ("RAC1P", "SEX"):
                values = asked[attribute].tolist()
                told = [
                    {"prediction_id": id_, "attribute": attribute, "value": value}
                    for id_, value in zip(ids, values, strict=True)
                ]
                connection.execute(insert(PROTECTED_ATTRIBUTE), told)
            connection.execute(
                insert(OUTCOME),
                [
                    {"prediction_id": id_, "outcome": int(outcome), "received_at": time + timedelta(days=1)}
                    for id_, time, outcome in zip(ids, times, outcomes, strict=True)
                ],
            )


def main() -> None:
    """Fetch the versions, answer people, and log it."""
    home, name, rows, people, folder = sys.argv[1:]
    place = Path(folder)
    registry = MlflowRegistry(f"sqlite:///{Path(home).absolute() / 'mlflow.db'}")
    versions = sorted(registry.versions(name), key=lambda one: int(one.version))[:2]
    for number, version in enumerate(versions, 1):
        registry.download(registry.find(Reference(name, version=version.version)), place / str(number))
    served, frame, log = load_model(place / "1" / "fairmind"), pd.read_parquet(people), Log(place, name, int(rows))
    drawn = np.random.default_rng(0)
    for start in range(0, log.rows, BATCH):
        chosen = drawn.integers(0, len(frame), min(BATCH, log.rows - start))
        log.add(start, frame.iloc[chosen].reset_index(drop=True), served)


if __name__ == "__main__":
    main()
