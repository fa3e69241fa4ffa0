"""BentoML as its documentation shows it, with the registered pipeline: `bentoml serve service:Peer`."""

import os
from typing import Any

import bentoml
import joblib
import pandas as pd

PORT = int(os.environ["BENCH_PORT"])


@bentoml.service(workers=1, http={"host": "127.0.0.1", "port": PORT}, traffic={"timeout": 60})
class Peer:
    """Two routes: one request at a time, and BentoML's own adaptive batching."""

    def __init__(self) -> None:
        """Load the pipeline."""
        self.model = joblib.load(os.environ["BENCH_MODEL"])

    @bentoml.api
    def predict(self, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer one request."""
        return self.answers(instances)

    @bentoml.api(batchable=True)
    def predict_batched(self, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer the instances of several requests."""
        return self.answers(instances)

    def answers(self, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return one prediction per instance."""
        rows = [instance["features"] for instance in instances]
        probabilities = self.model.predict_proba(pd.DataFrame(rows, columns=self.model.feature_names_in_))
        labels = self.model.classes_[probabilities.argmax(axis=1)].tolist()
        pairs = zip(labels, probabilities[:, 1].tolist(), strict=True)
        return [{"prediction": label, "probability": probability} for label, probability in pairs]
