"""The proof again, for what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from compilation.parity import TOLERANCE, Proof, prove_served
from inference.loading import load_model

FAIRMIND_FOLDER = "fairmind"


def verify(folder: Path, model: Any, frame: pd.DataFrame, tolerance: float = TOLERANCE) -> Proof:
    """Return a new proof that the runtimes stored in a version's folder answer as its registered model does.

    Args:
        folder: The version's files; the runtimes are in its `fairmind` folder.
        model: The registered model, loaded from the same files.
        frame: Rows to compare on, beside those that are made from them to be difficult.
        tolerance: The largest difference that is allowed.

    Raises:
        RuntimeLoadError: What is stored cannot be loaded.
        ParityError: A stored runtime does not answer as the model does.
        SignatureMismatchError: The frame does not fit the model's signature.
    """
    return prove_served(load_model(folder / FAIRMIND_FOLDER), model, frame, tolerance)
