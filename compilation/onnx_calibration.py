"""What a calibration makes of a score, as nodes of an ONNX graph in float64."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from compilation.onnx_assembly import Assembly

_HELD_AT_ONCE: Final = 1 << 22  # numbers that one run may hold for its comparisons, 32 MB


def sigmoid(assembly: Assembly, calibrator: Any, score: str) -> str:
    """Return the logistic of the score, scaled and moved (Platt)."""
    scaled = assembly.node("Mul", score, assembly.constant(-float(calibrator.a_)))
    return assembly.node("Sigmoid", assembly.node("Sub", scaled, assembly.constant(float(calibrator.b_))))


def isotonic(assembly: Assembly, calibrator: Any, score: str) -> str:
    """Return the linear interpolation between the calibration's points, flat beyond the outer ones."""
    points = np.asarray(calibrator.X_thresholds_, dtype=np.float64)
    values = np.asarray(calibrator.y_thresholds_, dtype=np.float64)
    if len(points) == 1:
        return assembly.node(
            "Add", assembly.node("Mul", score, assembly.constant(0.0)), assembly.constant(values[0])
        )
    assembly.limit_rows(_HELD_AT_ONCE // len(points))
    score = assembly.node("Max", score, assembly.constant(float(calibrator.X_min_)))
    score = assembly.node("Min", score, assembly.constant(float(calibrator.X_max_)))
    below = assembly.node("Less", assembly.constant(points[np.newaxis, :-1]), score)
    above = assembly.node("ReduceSum", assembly.as_integer(below), assembly.constant(np.array([1])), keepdims=1)
    place = assembly.node("Max", assembly.node("Sub", above, assembly.constant(1)), assembly.constant(0))
    left = assembly.node("Gather", assembly.constant(points), place)
    base = assembly.node("Gather", assembly.constant(values), place)
    slope = assembly.node("Gather", assembly.constant(np.diff(values) / np.diff(points)), place)
    return assembly.node("Add", assembly.node("Mul", slope, assembly.node("Sub", score, left)), base)
