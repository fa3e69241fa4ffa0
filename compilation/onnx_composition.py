"""Estimators made of estimators, and what stands between blocks and an estimator, as one ONNX graph in float64.

The trees inside are `compilation.onnx_trees`', which are exact, and a calibration interpolates as scikit-learn's
does where skl2onnx takes the nearest point. Everything else inside is skl2onnx's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import calibration, ensemble
from sklearn.base import is_classifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import PolynomialFeatures

from compilation.compile_trees import is_tree_model
from compilation.onnx_assembly import INPUT, Assembly
from compilation.onnx_calibration import isotonic, sigmoid
from compilation.onnx_conversion import ConvertedGraph, part_graph
from compilation.onnx_trees import tree_graph
from compilation.pipeline_blocks import Tail
from inference.errors import CompileError
from inference.onnx_output import OnnxOutput

_CALIBRATED = (calibration.CalibratedClassifierCV,)


def composed_graph(estimator: Any, features: int, tail: Tail | None = None) -> ConvertedGraph:
    """Return the graph of an estimator, with the steps between the blocks' features and it.

    Args:
        estimator: Fitted.
        features: How many features the blocks make.
        tail: The steps that have no blocks; None where there are none.

    Raises:
        CompileError: A part is not known here and skl2onnx does not convert it.
    """
    assembly = Assembly()
    source = INPUT if tail is None else _tail(assembly, tail, features)
    width = int(getattr(estimator, "n_features_in_", features))
    if is_classifier(estimator):
        answer, output = _probabilities(assembly, estimator, source, width), OnnxOutput.ALL
    else:
        answer, output = _values(assembly, estimator, source, width), OnnxOutput.VALUES
    return ConvertedGraph(assembly.finish(answer, features), output, {})


def _tail(assembly: Assembly, tail: Tail, features: int) -> str:
    parts, width = [], 0
    for start, stop, steps in tail.entries:
        part = INPUT if (start, stop) == (0, features) else assembly.columns(INPUT, np.arange(start, stop))
        part, made = _steps(assembly, steps, part, stop - start)
        parts.append(part)
        width += made
    source = assembly.node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    return _steps(assembly, tail.rest, source, width)[0]


def _steps(assembly: Assembly, steps: tuple[Any, ...], source: str, width: int) -> tuple[str, int]:
    """Return what the transformers make of a matrix, and how wide it is."""
    for step in steps:
        if step is None or isinstance(step, str):  # "passthrough"
            continue
        if type(step) is PolynomialFeatures:
            source, width = _polynomial(assembly, step, source), len(step.powers_)
        elif isinstance(step, FeatureUnion):
            source, width = _union(assembly, step, source, width)
        elif isinstance(step, Pipeline):
            source, width = _steps(assembly, tuple(part for _, part in step.steps), source, width)
        else:
            source, width = _converted(assembly, step, source, width)
    return source, width


def _union(assembly: Assembly, union: FeatureUnion, source: str, width: int) -> tuple[str, int]:
    if union.transformer_weights:
        raise CompileError("FeatureUnion", "transformer_weights have no compiled form")
    chosen = [part for _, part in union.transformer_list if not (isinstance(part, str) and part == "drop")]
    parts = [_steps(assembly, (part,), source, width) for part in chosen]
    return assembly.node("Concat", *(part for part, _ in parts), axis=1), sum(made for _, made in parts)


def _converted(assembly: Assembly, part: Any, source: str, width: int) -> tuple[str, int]:
    """Return what skl2onnx's graph of a part makes of a matrix, and how wide it is."""
    content, made = part_graph(part, width)
    return assembly.as_double(assembly.splice(content, source)), made


def _polynomial(assembly: Assembly, step: PolynomialFeatures, source: str) -> str:
    """Return the products of the features, multiplied in scikit-learn's order; skl2onnx rounds them to float32."""
    powers = np.asarray(step.powers_)
    degree = max(1, int(powers.sum(axis=1).max(initial=0)))
    factors = np.full((len(powers), degree), powers.shape[1])  # beyond the features stands a one
    for row, power in enumerate(powers):
        chosen = np.repeat(np.arange(len(power)), power)
        factors[row, : len(chosen)] = chosen
    rows = assembly.node("Shape", source, start=0, end=1)
    shape = assembly.node("Concat", rows, assembly.constant(np.array([1])), axis=0)
    ones = assembly.node("Expand", assembly.constant(np.ones((1, 1))), shape)
    extended = assembly.node("Concat", source, ones, axis=1)
    product = assembly.columns(extended, factors[:, 0])
    for place in range(1, degree):
        product = assembly.node("Mul", product, assembly.columns(extended, factors[:, place]))
    return product


def _probabilities(assembly: Assembly, estimator: Any, source: str, width: int) -> str:
    """Return the probability [N, K] of each class."""
    while type(estimator) is ensemble.StackingClassifier:
        source, width = _stacked(assembly, estimator, source, width)
        estimator = estimator.final_estimator_
    if type(estimator) in _CALIBRATED:
        members = estimator.calibrated_classifiers_
        return assembly.mean([_calibrated(assembly, member, source, width) for member in members])
    if type(estimator) is ensemble.VotingClassifier:
        if estimator.voting != "soft":
            raise CompileError("VotingClassifier", "voting='hard' gives no probabilities")
        parts = [_probabilities(assembly, member, source, width) for member in estimator.estimators_]
        return assembly.mean(parts, _weights(estimator))
    if type(estimator) is ensemble.BaggingClassifier:
        if any(len(member.classes_) != len(estimator.classes_) for member in estimator.estimators_):
            raise CompileError("BaggingClassifier", "some of its estimators have not seen every class")
        return assembly.mean(_bagged(assembly, estimator, source, _probabilities))
    if isinstance(estimator, Pipeline):
        source, width = _before(assembly, estimator, source, width)
        return _probabilities(assembly, estimator.steps[-1][1], source, width)
    if is_tree_model(estimator):
        return _tree_probabilities(assembly, *_tree_answer(assembly, estimator, source))
    return _converted(assembly, estimator, source, width)[0]


def _tree_probabilities(assembly: Assembly, answer: str, output: OnnxOutput) -> str:
    match output:
        case OnnxOutput.LOGIT:
            return assembly.two(assembly.node("Sigmoid", answer))
        case OnnxOutput.SECOND:
            return assembly.two(answer)
        case OnnxOutput.SCORES:
            return assembly.node("Softmax", answer, axis=1)
    return answer


def _values(assembly: Assembly, estimator: Any, source: str, width: int) -> str:
    """Return the values [N, M] of a regressor."""
    if type(estimator) is ensemble.VotingRegressor:
        parts = [_values(assembly, member, source, width) for member in estimator.estimators_]
        return assembly.mean(parts, _weights(estimator))
    if type(estimator) is ensemble.BaggingRegressor:
        return assembly.mean(_bagged(assembly, estimator, source, _values))
    if isinstance(estimator, Pipeline):
        source, width = _before(assembly, estimator, source, width)
        return _values(assembly, estimator.steps[-1][1], source, width)
    if is_tree_model(estimator):
        answer, output = _tree_answer(assembly, estimator, source)
        return assembly.node("Exp", answer) if output is OnnxOutput.EXP else answer
    return _converted(assembly, estimator, source, width)[0]


def _scores(assembly: Assembly, estimator: Any, source: str, width: int) -> str:
    """Return what a calibration is fitted on: [N, 1] for two classes, otherwise [N, K]."""
    if isinstance(estimator, Pipeline):
        source, width = _before(assembly, estimator, source, width)
        return _scores(assembly, estimator.steps[-1][1], source, width)
    if not hasattr(estimator, "decision_function"):
        probabilities = _probabilities(assembly, estimator, source, width)
        return assembly.columns(probabilities, [1]) if len(estimator.classes_) == 2 else probabilities
    if is_tree_model(estimator):
        answer, output = _tree_answer(assembly, estimator, source)
        if output in {OnnxOutput.LOGIT, OnnxOutput.SCORES} and estimator.loss in {"log_loss", "deviance"}:
            return answer
    elif hasattr(estimator, "densify") and np.ndim(estimator.coef_) == 2:  # scikit-learn's mark of a linear one
        weights = np.ascontiguousarray(np.asarray(estimator.coef_, dtype=np.float64).T)
        product = assembly.node("MatMul", source, assembly.constant(weights))
        return assembly.node("Add", product, assembly.constant(np.asarray(estimator.intercept_, dtype=np.float64)))
    raise CompileError(type(estimator).__name__, "its decision function has no compiled form")


def _stacked(assembly: Assembly, estimator: Any, source: str, width: int) -> tuple[str, int]:
    """Return the answers that the final estimator of a stack takes, and how many they are."""
    parts, made = [], 0
    for member, method in zip(estimator.estimators_, estimator.stack_method_, strict=True):
        classes = len(estimator.classes_)
        if method == "decision_function":
            parts.append(_scores(assembly, member, source, width))
        elif method == "predict_proba":
            answer = _probabilities(assembly, member, source, width)
            parts.append(assembly.columns(answer, [1]) if classes == 2 else answer)
        else:
            raise CompileError("StackingClassifier", f"stack_method='{method}' has no compiled form")
        made += 1 if classes == 2 else classes
    if estimator.passthrough:
        parts.append(source)
        made += width
    return (assembly.node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]), made


def _calibrated(assembly: Assembly, member: Any, source: str, width: int) -> str:
    scores, classes = _scores(assembly, member.estimator, source, width), len(member.classes)
    if len(member.estimator.classes_) != classes:
        raise CompileError("CalibratedClassifierCV", "one of its estimators has not seen every class")
    if member.method not in {"sigmoid", "isotonic"}:
        raise CompileError("CalibratedClassifierCV", f"method='{member.method}' has no compiled form")
    calibrate = sigmoid if member.method == "sigmoid" else isotonic
    if classes == 2:
        return assembly.two(calibrate(assembly, member.calibrators[0], scores))
    parts = [
        calibrate(assembly, calibrator, assembly.columns(scores, [place]))
        for place, calibrator in enumerate(member.calibrators)
    ]
    each = assembly.node("Concat", *parts, axis=1)
    total = assembly.node("ReduceSum", each, assembly.constant(np.array([1])), keepdims=1)
    none = assembly.node("Equal", total, assembly.constant(0.0))  # then all classes are as probable
    shares = assembly.node("Div", each, assembly.node("Where", none, assembly.constant(1.0), total))
    return assembly.node("Where", none, assembly.constant(1.0 / classes), shares)


def _tree_answer(assembly: Assembly, estimator: Any, source: str) -> tuple[str, OnnxOutput]:
    made = tree_graph(estimator)
    return assembly.splice(made.content, assembly.as_single(source) if made.single else source), made.output


def _bagged(assembly: Assembly, estimator: Any, source: str, answer: Any) -> list[str]:
    parts = []
    for member, places in zip(estimator.estimators_, estimator.estimators_features_, strict=True):
        parts.append(answer(assembly, member, assembly.columns(source, places), len(places)))
    return parts


def _before(assembly: Assembly, pipeline: Pipeline, source: str, width: int) -> tuple[str, int]:
    return _steps(assembly, tuple(step for _, step in pipeline.steps[:-1]), source, width)


def _weights(estimator: Any) -> list[float] | None:
    weights = estimator._weights_not_none
    return None if weights is None else [float(weight) for weight in weights]
