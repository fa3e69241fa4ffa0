"""LitServe with the registered pipeline: `python server.py PORT MODEL unbatched|batched`."""

import sys
from typing import Any

import joblib
import litserve
import pandas as pd

PORT, MODEL, MODE = int(sys.argv[1]), sys.argv[2], sys.argv[3]
MAX_BATCH_SIZE, BATCH_TIMEOUT = 32, 0.005


def answers(model: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one prediction per row."""
    probabilities = model.predict_proba(pd.DataFrame(rows, columns=model.feature_names_in_))
    labels = model.classes_[probabilities.argmax(axis=1)].tolist()
    pairs = zip(labels, probabilities[:, 1].tolist(), strict=True)
    return [{"prediction": label, "probability": probability} for label, probability in pairs]


class Peer(litserve.LitAPI):
    """POST /predict with the body that the service takes."""

    def setup(self, device: str) -> None:
        """Load the pipeline."""
        self.model = joblib.load(MODEL)

    def decode_request(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a request."""
        return [instance["features"] for instance in request["instances"]]

    def predict(self, rows: list[Any]) -> list[Any]:
        """Answer one request, or all requests of a batch in one call of the model."""
        if MODE == "unbatched":
            return answers(self.model, rows)
        found = iter(answers(self.model, [row for request in rows for row in request]))
        return [[next(found) for _ in request] for request in rows]

    def encode_response(self, output: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the body of an answer."""
        return {"predictions": output}


class BatchedPeer(Peer):
    """The same with LitServe's batching; a batch stays a list of requests."""

    def batch(self, inputs: list[Any]) -> list[Any]:
        """Return the requests as they are."""
        return inputs

    def unbatch(self, output: list[Any]) -> list[Any]:
        """Return one answer per request."""
        return output


if __name__ == "__main__":
    api = Peer() if MODE == "unbatched" else BatchedPeer(max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(
        host="127.0.0.1",
        port=PORT,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        pretty_logs=False,
    )
