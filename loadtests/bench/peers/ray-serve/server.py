"""Ray Serve with the registered pipeline in one replica: `python server.py PORT MODEL unbatched|batched`."""

import signal
import sys
from typing import Any

import joblib
import pandas as pd
import ray
from ray import serve
from starlette.requests import Request

PORT, MODEL, MODE = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def answers(model: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one prediction per row."""
    probabilities = model.predict_proba(pd.DataFrame(rows, columns=model.feature_names_in_))
    labels = model.classes_[probabilities.argmax(axis=1)].tolist()
    pairs = zip(labels, probabilities[:, 1].tolist(), strict=True)
    return [{"prediction": label, "probability": probability} for label, probability in pairs]


@serve.deployment(num_replicas=1, max_ongoing_requests=256)
class Peer:
    """POST /predict with the body that the service takes."""

    def __init__(self, model: str) -> None:
        """Load the pipeline."""
        self.model = joblib.load(model)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer one request."""
        body = await request.json()
        return {"predictions": answers(self.model, [instance["features"] for instance in body["instances"]])}


@serve.deployment(num_replicas=1, max_ongoing_requests=256)
class BatchedPeer:
    """The same, with requests joined by `@serve.batch`."""

    def __init__(self, model: str) -> None:
        """Load the pipeline."""
        self.model = joblib.load(model)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.005)
    async def joined(self, requests: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
        """Answer the rows of several requests in one call of the model."""
        found = iter(answers(self.model, [row for rows in requests for row in rows]))
        return [[next(found) for _ in rows] for rows in requests]

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer one request with others."""
        body = await request.json()
        return {"predictions": await self.joined([instance["features"] for instance in body["instances"]])}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run((Peer if MODE == "unbatched" else BatchedPeer).bind(MODEL), name="peer", route_prefix="/predict")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pause()
