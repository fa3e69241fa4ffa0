"""FastAPI with pandas and the registered scikit-learn pipeline: what most tutorials end with."""

# FastAPI reads these annotations at run time: no `from __future__ import annotations` here.
import os
from pathlib import Path
from typing import Any

import pandas as pd
import skops.io
from fastapi import FastAPI
from pydantic import BaseModel

STORED = next(Path(os.environ["BENCH_MODEL_FOLDER"]).glob("*.skops"))
# The model is the one this machine trained and registered: its own list of types is as good as it is.
MODEL = skops.io.load(STORED, trusted=skops.io.get_untrusted_types(file=STORED))

app = FastAPI()


class Instance(BaseModel):
    """One row."""

    features: dict[str, Any]
    unit: str | None = None
    protected: dict[str, str] | None = None


class Request(BaseModel):
    """The body of POST /predict."""

    instances: list[Instance]
    model: str | None = None


@app.get("/readyz")
async def ready() -> dict[str, bool]:
    """Say that the server is ready."""
    return {"ready": True}


# Not a plain `def`, which FastAPI would run in one of 40 threads: scikit-learn on one row is mostly Python code,
# and threads that take turns at the interpreter gain nothing.
@app.post("/predict")
async def predict(request: Request) -> dict[str, Any]:
    """Answer with the pipeline."""
    frame = pd.DataFrame([instance.features for instance in request.instances], columns=MODEL.feature_names_in_)
    probabilities = MODEL.predict_proba(frame)
    labels = MODEL.classes_[probabilities.argmax(axis=1)].tolist()
    pairs = zip(labels, probabilities[:, 1].tolist(), strict=True)
    return {"predictions": [{"prediction": label, "probability": p} for label, p in pairs]}
