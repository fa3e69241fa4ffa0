"""Every form that a model could be served in, and why it has not the others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pandas as pd

from compilation.anatomy import Anatomy, dissect
from compilation.compile import CompiledModel, StorableRuntime
from compilation.compile_boosters import booster_graph, is_booster
from compilation.compile_linear import compile_linear, is_linear_model
from compilation.compile_trees import compile_trees, is_tree_model
from compilation.native import MatrixRuntime
from compilation.onnx_composition import composed_graph
from compilation.onnx_conversion import OUTPUT, estimator_graph, first_line, pipeline_graph
from compilation.onnx_trees import tree_graph
from inference.errors import CompileError
from inference.onnx_output import OnnxOutput
from inference.onnx_pipeline_runtime import OnnxPipelineRuntime
from inference.onnx_runtime import OnnxRuntime


@dataclass(frozen=True, slots=True)
class Candidate:
    """A form of a model: compiled, or refused with the reason.

    `in_worker` False marks one that needs the model's own libraries: it is measured, to be seen beside the others,
    and could serve in a runner only; it is never stored.
    """

    name: str
    compiled: CompiledModel | None = None
    refusal: CompileError | None = None
    in_worker: bool = True


def candidates(model: Any, frame: pd.DataFrame) -> list[Candidate]:
    """Return the candidates for serving a fitted model, in the order of preference.

    Args:
        model: A Pipeline, or an estimator, fitted on a data frame.
        frame: Rows it was fitted on or could have been; says the columns' types. Other columns are left aside.

    Returns:
        At least one that was compiled and could serve in a worker; those that could not be made with the reason.

    Raises:
        CompileError: The model is of no kind that can be served, or none could be made; names the likeliest part.
    """
    anatomy = dissect(model, frame)
    made = list(candidates_of(anatomy))
    if not any(candidate.compiled is not None and candidate.in_worker for candidate in made):
        raise refusal_of(made, anatomy)
    return made


def candidates_of(anatomy: Anatomy) -> Iterator[Candidate]:
    """Yield the candidates for a model taken apart, perhaps none of them compiled.

    They are the estimator behind the blocks of its preprocessing. Where there are no blocks, or nothing behind
    them, they are ONNX of the whole pipeline.
    """
    compiled = False
    for name, (fits, maker) in _BEHIND_BLOCKS.items() if anatomy.refusal is None else ():
        if fits(anatomy):
            candidate = _candidate(name, maker, anatomy)
            compiled = compiled or candidate.compiled is not None
            yield candidate
    if not compiled:
        for name, maker in _WHOLE.items():
            yield _candidate(name, maker, anatomy)
    elif anatomy.tail is None:
        yield _candidate("scikit-learn-matrix", _matrix, anatomy, in_worker=False)


def refusal_of(made: list[Candidate], anatomy: Anatomy) -> CompileError:
    """Return why none of the candidates could be made: the first reason, which is about the likeliest of them."""
    refusals = [candidate.refusal for candidate in made if candidate.refusal is not None]
    if anatomy.refusal is None or not refusals:
        return anatomy.refusal or refusals[0]
    reason = f"{anatomy.refusal.reason}; nor has the whole pipeline one ({refusals[0]})"
    return CompileError(anatomy.refusal.part, reason)


def _candidate(
    name: str, maker: Callable[[Anatomy], StorableRuntime], anatomy: Anatomy, *, in_worker: bool = True
) -> Candidate:
    part = type(anatomy.estimator).__name__
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of converters, about what the proof will tell
            runtime = maker(anatomy)
    except CompileError as refusal:
        return Candidate(name, refusal=refusal, in_worker=in_worker)
    except ImportError as error:
        library = (error.name or name).partition(".")[0]
        return Candidate(name, refusal=CompileError(part, f"{library} is not installed"), in_worker=in_worker)
    # A graph that the runtime does not take, in whatever words: this candidate is out, the others are not.
    except Exception as error:
        return Candidate(name, refusal=CompileError(part, first_line(error)), in_worker=in_worker)
    return Candidate(name, CompiledModel(anatomy.signature, anatomy.decision, runtime), in_worker=in_worker)


def _linear(anatomy: Anatomy) -> StorableRuntime:
    return compile_linear(anatomy.estimator, anatomy.blocks)


def _treelite(anatomy: Anatomy) -> StorableRuntime:
    return compile_trees(anatomy.estimator, anatomy.blocks)


def _onnx_trees(anatomy: Anatomy) -> StorableRuntime:
    made = booster_graph(anatomy.estimator) if is_booster(anatomy.estimator) else tree_graph(anatomy.estimator)
    return OnnxRuntime(
        blocks=anatomy.blocks, graph=made.content, output=made.output, single=made.single, classes=made.classes
    )


def _onnx(anatomy: Anatomy, *, double: bool) -> StorableRuntime:
    made = estimator_graph(anatomy.estimator, anatomy.features, anatomy.signature, double=double)
    return OnnxRuntime(
        blocks=anatomy.blocks,
        graph=made.content,
        output=made.output,
        single=False,
        classes=len(anatomy.signature.classes),
    )


def _onnx_pipeline(anatomy: Anatomy, *, double: bool) -> StorableRuntime:
    made = pipeline_graph(anatomy.model, anatomy.signature, double=double)
    return OnnxPipelineRuntime(
        graph=made.content,
        inputs=made.inputs,
        output=made.output,
        classes=len(anatomy.signature.classes),
        answer=OUTPUT,
    )


def is_composite(estimator: Any) -> bool:
    """Return whether the estimator is made of others whose answers are averaged, calibrated or stacked."""
    return type(estimator).__name__ in _COMPOSITES


_COMPOSITES = frozenset(
    {
        "BaggingClassifier",
        "BaggingRegressor",
        "CalibratedClassifierCV",
        "StackingClassifier",
        "VotingClassifier",
        "VotingRegressor",
    }
)


def _matrix(anatomy: Anatomy) -> StorableRuntime:
    return MatrixRuntime(anatomy.blocks, anatomy.estimator, anatomy.features)


def _composed(anatomy: Anatomy) -> StorableRuntime:
    made = composed_graph(anatomy.estimator, anatomy.features, anatomy.tail)
    single = made.output is OnnxOutput.VALUES and not anatomy.signature.outputs
    return OnnxRuntime(
        blocks=anatomy.blocks,
        graph=made.content,
        output=OnnxOutput.VALUE if single else made.output,
        single=False,
        classes=len(anatomy.signature.classes),
    )


def _has_trees(estimator: Any) -> bool:
    return is_tree_model(estimator) or is_booster(estimator)


_Fits = Callable[[Anatomy], bool]
_Maker = Callable[[Anatomy], StorableRuntime]
_BEHIND_BLOCKS: Final[Mapping[str, tuple[_Fits, _Maker]]] = {
    "linear": (lambda anatomy: anatomy.tail is None and is_linear_model(anatomy.estimator), _linear),
    "onnx-trees": (lambda anatomy: anatomy.tail is None and _has_trees(anatomy.estimator), _onnx_trees),
    "treelite": (lambda anatomy: anatomy.tail is None and is_tree_model(anatomy.estimator), _treelite),
    "onnx-composed": (lambda anatomy: anatomy.tail is not None or is_composite(anatomy.estimator), _composed),
    "onnx-float64": (lambda anatomy: anatomy.tail is None, partial(_onnx, double=True)),
    "onnx-float32": (lambda anatomy: anatomy.tail is None, partial(_onnx, double=False)),
}
_WHOLE: Final[Mapping[str, _Maker]] = {
    "onnx-pipeline-float64": partial(_onnx_pipeline, double=True),
    "onnx-pipeline-float32": partial(_onnx_pipeline, double=False),
}
