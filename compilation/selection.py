"""From candidates to what is stored: each proven, the quickest kept, and a second one where it is worth it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from compilation.candidates import Candidate
from compilation.choice import Choice, choose, crossover
from compilation.compile import CompiledModel
from compilation.onnx_conversion import first_line
from compilation.parity import TOLERANCE, CandidateResult, Proof, Verdict, as_error, per_row, versions
from compilation.reference import Difference, Reference
from compilation.timing import REPEATS, interleaved, one_thread
from inference.errors import CompileError, InferenceError

REGISTERED = "scikit-learn"
"""The name of the registered model itself, in the table of candidates."""

_SECONDS = 3.0
_CROSSING_REPEATS = 5


@dataclass(frozen=True, slots=True)
class Selected:
    """What is stored of a model, and the proof that it is the registered one."""

    compiled: CompiledModel
    proof: Proof


@dataclass(frozen=True, slots=True)
class _Compared:
    """A candidate with its difference from the model, or the reason why there is none."""

    candidate: Candidate
    difference: Difference | None = None
    error: InferenceError | None = None

    def is_within(self, tolerance: float) -> bool:
        return self.difference is not None and self.difference.within(tolerance)


def select_runtimes(
    candidates: Sequence[Candidate], model: Any, frame: pd.DataFrame, tolerance: float = TOLERANCE
) -> Selected:
    """Return the candidates to serve with, each proven to answer as `model` does, and the proof.

    Every candidate is compared with the model on the rows made to be difficult and then on those of `frame`, for a
    few seconds; what is kept, on all of them.

    Args:
        candidates: Of one model, in the order of preference; see `compilation.candidates.candidates`.
        model: The registered model: as it was stored and loaded again.
        frame: Evaluation rows.
        tolerance: The largest difference of a probability, or of a value (relative above 1), that is allowed.

    Raises:
        CompileError: No candidate was compiled, or none of them runs.
        ParityError: None answers as the model does; says how far the nearest one is.
        SignatureMismatchError: The frame does not fit the model's signature.
    """
    forms = [candidate.compiled for candidate in candidates if candidate.compiled is not None]
    if not forms:
        raise next(candidate.refusal for candidate in candidates if candidate.refusal is not None)
    blocks = getattr(forms[0].runtime, "blocks", ())
    with one_thread():
        reference = Reference(model, frame, forms[0].signature, forms[0].decision, blocks)
        return _select(candidates, model, reference, tolerance)


def _select(candidates: Sequence[Candidate], model: Any, reference: Reference, tolerance: float) -> Selected:
    compared = [_compared(candidate, reference, _SECONDS) for candidate in candidates]
    while True:
        proven = [one for one in compared if one.is_within(tolerance)]
        serving = [one for one in proven if one.candidate.in_worker]
        if not serving:
            raise _nearest(compared, tolerance)
        costs = _costs(proven, model, reference)
        names = [one.candidate.name for one in serving]
        choice = choose({name: costs[name] for name in names})
        # What took too long to be compared on every row is, before it is kept; it may still turn out to differ.
        compared = [_completed(one, choice, reference) for one in compared]
        if all(one.is_within(tolerance) for one in compared if _kept(one, choice)):
            break
    return _selected(compared, choice, costs, reference, tolerance)


def _compared(candidate: Candidate, reference: Reference, seconds: float | None) -> _Compared:
    if candidate.compiled is None:
        return _Compared(candidate, error=candidate.refusal)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a candidate is judged by its answers
            return _Compared(candidate, reference.compare(candidate.compiled.runtime, seconds=seconds))
    except InferenceError as error:
        return _Compared(candidate, error=error)
    # A graph may load and then fail on its first row, in whatever words of its library.
    except Exception as error:
        return _Compared(candidate, error=CompileError(candidate.name, f"it does not run ({first_line(error)})"))


def _kept(one: _Compared, choice: Choice) -> bool:
    return one.candidate.name in {choice.few, choice.many}


def _completed(one: _Compared, choice: Choice, reference: Reference) -> _Compared:
    whole = reference.rows + reference.adversarial_rows
    if not _kept(one, choice) or one.difference is None or one.difference.rows == whole:
        return one
    return _compared(one.candidate, reference, None)


def _nearest(compared: Sequence[_Compared], tolerance: float) -> InferenceError:
    """Return the best reason: how far the nearest candidate is, or why the first could not be made."""
    differing = [one.difference for one in compared if one.difference is not None and one.candidate.in_worker]
    if differing:
        return as_error(min(differing, key=lambda found: (found.decisions, found.largest)), tolerance)
    return next(one.error for one in compared if one.error is not None)


def _costs(proven: Sequence[_Compared], model: Any, reference: Reference) -> dict[str, dict[int, float]]:
    """Return the microseconds of a call by candidate, the registered model among them, and number of rows."""
    names = [*(one.candidate.name for one in proven), REGISTERED]
    costs: dict[str, dict[int, float]] = {name: {} for name in names}
    for rows, repeats in REPEATS.items():
        columns, registered = reference.batch(rows), reference.rows_of(rows)
        calls: dict[str, Callable[[], object]] = {
            one.candidate.name: partial(one.candidate.compiled.served().predict, columns, rows)
            for one in proven
            if one.candidate.compiled is not None
        }
        ask = model.predict_proba if reference.signature.classes else model.predict
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, cost in interleaved(calls | {REGISTERED: partial(ask, registered)}, repeats).items():
                costs[name][rows] = cost
    return costs


def _selected(
    compared: Sequence[_Compared],
    choice: Choice,
    costs: Mapping[str, Mapping[int, float]],
    reference: Reference,
    tolerance: float,
) -> Selected:
    forms = {one.candidate.name: one.candidate.compiled for one in compared if _kept(one, choice)}
    compiled = forms[choice.few]
    if compiled is None:
        raise ValueError("a candidate was chosen that was never compiled")
    chosen: tuple[str, ...] = (choice.few,)
    crossing = None
    second = forms.get(choice.many or "")
    if second is not None:
        crossing = crossover(partial(_is_quicker, second, compiled, reference))
        if crossing is not None:
            compiled, chosen = replace(compiled, larger=(second.runtime, crossing)), (choice.few, choice.many or "")
    kept = [one.difference for one in compared if one.candidate.name in chosen]
    proof = Proof(
        rows=reference.rows,
        adversarial_rows=reference.adversarial_rows,
        largest_difference=max(difference.largest for difference in kept if difference is not None),
        decisions_changed=0,
        tolerance=tolerance,
        microseconds_per_row=per_row(compiled.served(), reference),
        versions=versions(),
        candidates=(*(_result(one, costs, tolerance) for one in compared), _registered(costs)),
        chosen=chosen,
        crossover_rows=crossing,
    )
    return Selected(compiled, proof)


def _is_quicker(second: CompiledModel, first: CompiledModel, reference: Reference, rows: int) -> bool:
    columns = reference.batch(rows)
    calls = {
        "first": partial(first.served().predict, columns, rows),
        "second": partial(second.served().predict, columns, rows),
    }
    taken = interleaved(calls, _CROSSING_REPEATS)
    return taken["second"] < taken["first"]


def _result(one: _Compared, costs: Mapping[str, Mapping[int, float]], tolerance: float) -> CandidateResult:
    name, difference = one.candidate.name, one.difference
    if difference is None:
        verdict = Verdict.NOT_CONVERTIBLE
        return CandidateResult(name=name, verdict=verdict, reason=str(one.error), in_worker=one.candidate.in_worker)
    proven = difference.within(tolerance)
    verdict = Verdict.PROVEN if one.candidate.in_worker else Verdict.MEASURED
    reason = None if proven else str(as_error(difference, tolerance))
    return CandidateResult(
        name=name,
        verdict=verdict if proven else Verdict.REFUSED,
        reason=reason,
        rows=difference.rows,
        largest_difference=difference.largest,
        microseconds_per_row={rows: cost / rows for rows, cost in costs.get(name, {}).items()},
        in_worker=one.candidate.in_worker,
    )


def _registered(costs: Mapping[str, Mapping[int, float]]) -> CandidateResult:
    per_row = {rows: cost / rows for rows, cost in costs[REGISTERED].items()}
    reason = "the registered model itself, through pandas"
    return CandidateResult(
        name=REGISTERED, verdict=Verdict.MEASURED, reason=reason, microseconds_per_row=per_row, in_worker=False
    )
