"""The proof that a compiled model is the registered one."""

from __future__ import annotations

import importlib.metadata
import platform
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from compilation.compile import CompiledModel
from compilation.reference import Difference, Reference
from compilation.timing import REPEATS, interleaved, one_thread
from inference.errors import ParityError, RuntimeLoadError
from inference.served_model import ServedModel

PROOF_FILE: Final = "proof.json"
TOLERANCE: Final = 1e-6

_LIBRARIES = ("scikit-learn", "numpy", "pandas", "treelite", "onnxruntime", "onnx", "skl2onnx")


class Verdict(StrEnum):
    """What became of a candidate."""

    PROVEN = "proven"  # it answers as the registered model does
    REFUSED = "refused"  # it does not
    NOT_CONVERTIBLE = "not_convertible"  # it could not be made
    MEASURED = "measured"  # it needs the model's own libraries: measured beside the others, never stored


class CandidateResult(BaseModel):
    """A candidate, what became of it and why.

    `rows` is how many rows were compared, fewer than all where a candidate is slow; a stored one is compared on
    all. `microseconds_per_row` maps the size of a batch to the median time of one of its rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    verdict: Verdict
    reason: str | None = None
    rows: int = 0
    largest_difference: float | None = None
    microseconds_per_row: dict[int, float] = {}
    in_worker: bool = True


class Proof(BaseModel):
    """What was compared, how far apart the two models were, and what the compiled one costs.

    `microseconds_per_row` maps the size of a batch to the median time of one of its rows, on the machine and in the
    hour of the proof. `chosen` are the candidates that are stored, the second one for `crossover_rows` rows and
    more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    adversarial_rows: int
    largest_difference: float
    decisions_changed: int
    tolerance: float
    microseconds_per_row: dict[int, float]
    versions: dict[str, str]
    candidates: tuple[CandidateResult, ...] = ()
    chosen: tuple[str, ...] = ()
    crossover_rows: int | None = None

    def save(self, folder: Path) -> None:
        """Write the proof into `folder`, the version's `fairmind` folder."""
        (folder / PROOF_FILE).write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the proof in `folder`.

        Raises:
            RuntimeLoadError: It is missing or cannot be read.
        """
        try:
            return cls.model_validate_json((folder / PROOF_FILE).read_bytes())
        except OSError as error:
            raise RuntimeLoadError(str(folder), f"{PROOF_FILE} cannot be read ({error.strerror})") from error
        except ValidationError as error:
            raise RuntimeLoadError(str(folder), f"{PROOF_FILE} is damaged") from error


def prove(compiled: CompiledModel, model: Any, frame: pd.DataFrame, tolerance: float = TOLERANCE) -> Proof:
    """Return the proof that `compiled` answers as the fitted `model` does.

    Compared are all rows of `frame`, rows made from them to find a difference, and some of those alone. The
    difference of a classifier is the largest of its probabilities, of a regressor the largest of its values,
    relative where a value is above 1.

    Raises:
        ParityError: A decision changed, or the largest difference is above `tolerance`.
        SignatureMismatchError: The frame does not fit the model's signature.
    """
    return prove_served(compiled.served(), model, frame, tolerance)


def prove_served(served: ServedModel, model: Any, frame: pd.DataFrame, tolerance: float = TOLERANCE) -> Proof:
    """Return the proof that a model as a worker has it, every runtime of it, answers as the fitted `model` does.

    Raises:
        ParityError, SignatureMismatchError: As for `prove`.
    """
    runtimes = getattr(served.runtime, "runtimes", (served.runtime,))
    blocks = getattr(runtimes[0], "blocks", ())
    with one_thread():
        reference = Reference(model, frame, served.signature, served.decision, blocks)
        differences = [reference.compare(runtime) for runtime in runtimes]
    for difference in differences:
        if not difference.within(tolerance):
            raise as_error(difference, tolerance)
    return Proof(
        rows=reference.rows,
        adversarial_rows=reference.adversarial_rows,
        largest_difference=max(difference.largest for difference in differences),
        decisions_changed=0,
        tolerance=tolerance,
        microseconds_per_row=per_row(served, reference),
        versions=versions(),
    )


def as_error(difference: Difference, tolerance: float) -> ParityError:
    """Return the error that says how far a runtime is from the model."""
    return ParityError(
        decisions_changed=difference.decisions,
        largest_difference=difference.largest,
        tolerance=tolerance,
        rows=difference.rows,
    )


def per_row(served: ServedModel, reference: Reference) -> dict[int, float]:
    """Return the median microseconds of one row by the size of the batch it comes in."""
    costs = {}
    for rows, repeats in REPEATS.items():
        columns = reference.batch(rows)
        call = {"": lambda: served.predict(columns, rows)}  # noqa: B023 (called before the next turn)
        costs[rows] = interleaved(call, repeats)[""] / rows
    return costs


def versions() -> dict[str, str]:
    """Return the versions of what the proof rests on, as far as it is installed."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:  # in a stranger's environment
            continue
    return found
