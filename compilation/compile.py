"""A model reduced to what serving needs, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from inference.crossover import CrossoverRuntime
from inference.decision import Decision
from inference.loading import DECISION_FILE, SIGNATURE_FILE
from inference.runtime import Columns, Scores
from inference.served_model import ServedModel
from inference.signature import Signature
from inference.stored import Stored, write_runtimes


class StorableRuntime(Protocol):
    """A runtime that can be written down."""

    def run(self, columns: Columns, rows: int) -> Scores:
        """Return the scores of `rows` rows."""
        ...

    def stored(self) -> Stored:
        """Return the runtime taken apart."""
        ...


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A model reduced to what serving needs; `compilation.parity.prove` says whether it is the same model.

    `larger` is a second runtime of the same model, and the number of rows from which it is the quicker one.
    """

    signature: Signature
    decision: Decision
    runtime: StorableRuntime
    larger: tuple[StorableRuntime, int] | None = None

    def served(self) -> ServedModel:
        """Return the model as a worker would have it."""
        if self.larger is None:
            return ServedModel(self.signature, self.decision, self.runtime)
        second, from_rows = self.larger
        return ServedModel(self.signature, self.decision, CrossoverRuntime((self.runtime, second), (1, from_rows)))

    def save(self, folder: Path) -> None:
        """Write the model into `folder`, the version's `fairmind` folder; made when it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SIGNATURE_FILE).write_text(self.signature.model_dump_json(indent=1), encoding="utf-8")
        (folder / DECISION_FILE).write_text(self.decision.model_dump_json(), encoding="utf-8")
        runtimes = [(self.runtime.stored(), 1)]
        if self.larger is not None:
            second, from_rows = self.larger
            runtimes.append((second.stored(), from_rows))
        write_runtimes(runtimes, folder)


def compile_model(model: Any, frame: pd.DataFrame) -> CompiledModel:
    """Return the first compiled form that a fitted model has, unproven.

    What is registered is chosen by measurement and proven instead: `compilation.selection.select_runtimes`.

    Args:
        model: A Pipeline of a ColumnTransformer (or plain steps) and an estimator, fitted on a data frame.
        frame: Rows it was fitted on or could have been; says the columns' types. Other columns are left aside.

    Raises:
        CompileError: It has no compiled form; names the part that stands in the way.
    """
    from compilation.anatomy import dissect
    from compilation.candidates import candidates_of, refusal_of  # which are made of what is above

    anatomy, refused = dissect(model, frame), []
    for candidate in candidates_of(anatomy):
        if candidate.compiled is not None and candidate.in_worker:
            return candidate.compiled
        refused.append(candidate)
    raise refusal_of(refused, anatomy)
