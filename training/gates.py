"""From what was measured to what the gates say, in the form the registry keeps."""

from __future__ import annotations

from assessment.gate import gate_results as bias_gates
from registry.gate_record import GateKind, GateResult, GateVerdict
from training.errors import DataError
from training.evaluation import Measurements
from training.policy import Gates, QualityGate


def gate_results(measured: Measurements, gates: Gates) -> tuple[GateResult, ...]:
    """Return what every configured gate says, quality first, then bias.

    Raises:
        DataError: a gate asks for what cannot be measured here, such as the ROC AUC of a regression.
    """
    quality = tuple(_quality(gate, measured) for gate in gates.quality)
    if gates.bias and measured.bias is None:
        raise DataError("bias gates need classes, of which one is favourable; name it, or remove the gates")
    return quality + (bias_gates(measured.bias.attributes) if measured.bias else ())


def _quality(gate: QualityGate, measured: Measurements) -> GateResult:
    if gate.metric not in measured.quality:
        known = ", ".join(measured.quality)
        raise DataError(f"the quality gate on {gate.metric} cannot be measured for this label; it has {known}")
    value = measured.quality[gate.metric]
    bound = f"{'at least' if gate.at_least is not None else 'at most'} {gate.limit:g}"
    return GateResult(
        kind=GateKind.QUALITY,
        metric=gate.metric,
        value=value,
        limit=gate.limit,
        verdict=GateVerdict.PASS if gate.holds(value) else GateVerdict.FAIL,
        gating=gate.gating,
        message=f"{gate.metric} is {value:.4f} ({bound} wanted) on {measured.rows} held-out rows",
    )
