"""The model of a server of somebody else's, and what that server can be told to do wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Fault(StrEnum):
    """What a server does wrong when it is asked to score; the other routes answer as ever."""

    SLOW = "answers, but after `seconds`"
    HANG = "takes the request and never answers"
    ERROR = "answers 500, or INTERNAL"
    BUSY = "answers 503 with Retry-After, or UNAVAILABLE"
    REFUSAL = "answers 400, or INVALID_ARGUMENT: it does not like the rows"
    RESET = "ends the connection before a byte of the answer"
    CUT = "ends the connection in the middle of the answer"
    REDIRECT = "answers 307 with another address"
    NOT_JSON = "answers 200 with a page for people"
    HUGE = "answers more bytes than anybody asked for"
    FEWER_ROWS = "answers one row less"
    MORE_ROWS = "answers one row more"
    WIDER = "answers three values per row where there was one, or one class more"
    TEXT = "answers texts where numbers belong"
    NAN = "answers NaN as a probability, null where it has none"
    BEYOND_ONE = "answers probabilities that do not sum to 1"
    NO_OUTPUT = "answers without any prediction"


WRONG_CONTENT: Final = (
    Fault.FEWER_ROWS,
    Fault.MORE_ROWS,
    Fault.WIDER,
    Fault.TEXT,
    Fault.NAN,
    Fault.BEYOND_ONE,
    Fault.NO_OUTPUT,
)
"""Answers in the protocol's own words that do not fit the rows or the model."""


class Told(StrEnum):
    """What a server answers of a row."""

    BOTH = "labels and probabilities, under the names of MLServer's scikit-learn runtime"
    LABELS = "labels alone, as `predict` of most models does"
    PROBABILITIES = "probabilities of all classes alone"


@dataclass
class RemoteModel:
    """A fitted model as its server knows it.

    `frame` has its columns and their types; `model` is anything with `predict` and `predict_proba`.
    """

    model: Any
    frame: pd.DataFrame
    name: str = "theirs"
    version: str = "7"
    told: Told = Told.BOTH
    rows: int = field(default=0, init=False)
    """How many rows it was asked about."""

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The tensors of its metadata."""
        return [
            {"name": str(name), "datatype": _datatype(column), "shape": [-1]} for name, column in self.frame.items()
        ]

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """The tensors of its metadata that it answers."""
        labels = {"name": "predict", "datatype": _datatype(pd.Series(self.model.classes_)), "shape": [-1, 1]}
        chances = {"name": "predict_proba", "datatype": "FP64", "shape": [-1, len(self.model.classes_)]}
        return {Told.BOTH: [labels, chances], Told.LABELS: [labels], Told.PROBABILITIES: [chances]}[self.told]

    def typed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows as the model was fitted on them: its columns in their order and types."""
        return frame[list(self.frame)].astype({name: self.frame[name].dtype for name in self.frame})

    def score(self, frame: pd.DataFrame, fault: Fault | None = None) -> dict[str, NDArray[Any]]:
        """Return the outputs by their names: labels `[N, 1]` and probabilities `[N, K]`, or what `fault` makes of
        them."""
        self.rows += len(frame)
        rows = self.typed(frame)
        found = {
            "predict": np.asarray(self.model.predict(rows)).reshape(-1, 1),
            "predict_proba": np.asarray(self.model.predict_proba(rows), dtype=np.float64),
        }
        wanted = {one["name"] for one in self.outputs}
        return {name: _spoilt(name, values, fault) for name, values in found.items() if name in wanted}


def _spoilt(name: str, values: NDArray[Any], fault: Fault | None) -> NDArray[Any]:
    is_chance = name == "predict_proba"
    match fault:
        case Fault.FEWER_ROWS:
            return values[:-1]
        case Fault.MORE_ROWS:
            return np.concatenate([values, values[-1:]])
        case Fault.WIDER:
            return np.concatenate([values, values[:, :1], values[:, :1]], axis=1)
        case Fault.TEXT:
            return np.full(values.shape, "unsure", dtype=object)
        case Fault.NAN:
            return np.full(values.shape, np.nan)
        case Fault.BEYOND_ONE if is_chance:
            return values + 0.25
    return values


def _datatype(column: pd.Series[Any]) -> str:
    kinds = {"i": "INT64", "f": "FP64", "b": "BOOL"}
    return kinds.get(column.dtype.kind, "BYTES")
