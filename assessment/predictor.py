"""What a bias test asks for decisions."""

from __future__ import annotations

from typing import Protocol

from inference.runtime import Columns
from inference.served_model import Predictions
from inference.signature import Signature


class Predictor(Protocol):
    """A version that is ready to answer, as `inference.served_model.ServedModel` is."""

    @property
    def signature(self) -> Signature:
        """What it accepts."""
        ...

    def predict(self, columns: Columns, rows: int) -> Predictions:
        """Return the predictions of rows whose columns fit the signature."""
        ...
