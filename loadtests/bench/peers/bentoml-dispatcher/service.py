"""BentoML's own dispatcher before the compiled model, with tracing, access log and BentoML's metrics off.

What the service's batcher is compared with: the same model, the same HTTP stack, `batchable=True` in between.
"""

import os
from pathlib import Path
from typing import Any

import bentoml

from inference.columns import columns_from_rows
from inference.loading import load_model

PORT = int(os.environ["BENCH_PORT"])


@bentoml.service(
    workers=1,
    http={"host": "127.0.0.1", "port": PORT},
    traffic={"timeout": 60},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
class Peer:
    """One route behind the dispatcher."""

    def __init__(self) -> None:
        """Load the compiled model."""
        self.model = load_model(Path(os.environ["BENCH_MODEL_FOLDER"]) / "fairmind")

    @bentoml.api(batchable=True, max_batch_size=1024, max_latency_ms=1000)
    async def predict(self, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer the instances of several requests; the latency bound is the one of the service's batcher."""
        rows = [instance["features"] for instance in instances]
        found = self.model.predict(columns_from_rows(rows, self.model.signature), len(rows))
        labels = found.prediction.tolist()
        if found.probabilities is None:
            return [{"prediction": label} for label in labels]
        pairs = zip(labels, found.probabilities[:, 1].tolist(), strict=True)
        return [{"prediction": label, "probability": probability} for label, probability in pairs]
