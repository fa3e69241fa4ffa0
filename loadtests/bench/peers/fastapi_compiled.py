"""FastAPI with a pydantic body and the compiled model: the usual way to write a fast service, on our runtime."""

# FastAPI reads these annotations at run time: no `from __future__ import annotations` here.
import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from inference.columns import columns_from_rows
from inference.loading import load_model

MODEL = load_model(Path(os.environ["BENCH_MODEL_FOLDER"]) / "fairmind")

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


class Prediction(BaseModel):
    """The answer for one row."""

    prediction: int | float | str | bool
    probability: float | None = None


class Answer(BaseModel):
    """The answer, in the order of the instances."""

    predictions: list[Prediction]


@app.get("/readyz")
async def ready() -> dict[str, bool]:
    """Say that the server is ready."""
    return {"ready": True}


@app.post("/predict")
async def predict(request: Request) -> Answer:
    """Answer with the compiled model."""
    rows = [instance.features for instance in request.instances]
    columns = columns_from_rows(rows, MODEL.signature)
    found = MODEL.predict(columns, len(rows))
    if found.probabilities is None:
        return Answer(predictions=[Prediction(prediction=value) for value in found.prediction.tolist()])
    pairs = zip(found.prediction.tolist(), found.probabilities[:, 1].tolist(), strict=True)
    return Answer(predictions=[Prediction(prediction=label, probability=p) for label, p in pairs])
