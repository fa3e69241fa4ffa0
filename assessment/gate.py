"""What a bias test says as a gate: recorded on the version it is about, bound to that version's files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from assessment.errors import NotRecordableError
from assessment.result import BiasTestResult
from fairness.gate import Verdict
from fairness.report import AttributeReport, DisparityReport, describe
from registry.errors import GateRecordError
from registry.gate_record import GATES_TAG, GateKind, GateRecord, GateResult, GateVerdict
from registry.registry import Registry
from registry.versions import ModelVersion


def gate_results(attributes: Iterable[AttributeReport], test_id: str | None = None) -> tuple[GateResult, ...]:
    """Return what every tolerance says about these attributes, in the form the registry keeps."""
    return tuple(
        _result(attribute.attribute, disparity, disparity.limit, disparity.verdict, test_id)
        for attribute, disparity in _judged(attributes)
        if disparity.limit is not None and disparity.verdict is not None
    )


def refusals(result: BiasTestResult) -> tuple[str, ...]:
    """Return why a test alone would refuse a promotion, a line each; empty where it would not.

    A failed tolerance that gates refuses, and so does lacking evidence about a group that it is required for.
    """
    return tuple(each.describe() for each in gate_results(result.attributes) if each.refuses)


def lacking(result: BiasTestResult) -> tuple[str, ...]:
    """Return what could not be judged and does not refuse, a line each."""
    found = gate_results(result.attributes)
    return tuple(
        each.describe() for each in found if each.verdict is GateVerdict.INSUFFICIENT_EVIDENCE and not each.refuses
    )


def record(registry: Registry, version: ModelVersion, result: BiasTestResult) -> GateRecord:
    """Keep a test's verdicts as gates of the version it is about, and return its gates as they are now.

    They stand beside those of its training; a gate on the same metric of the same attribute is measured anew and
    replaced. What was measured before stays in the kept tests.

    Raises:
        NotRecordableError: The test is about another version, or the version has no digest to bind them to.
        GateRecordError: The version's gates cannot be read, or are about other files.
    """
    if (result.model, result.model_version) != (version.name, version.version):
        raise NotRecordableError(str(version), f"it is about {result.model}/{result.model_version}")
    if version.digest is None:
        raise NotRecordableError(str(version), "the version was registered without a digest of its files")
    before = GateRecord.from_version(version) or GateRecord(digest=version.digest)
    if before.digest != version.digest:
        raise GateRecordError(str(version), "its gates were measured on other files than the ones registered")
    measured = gate_results(result.attributes, result.test_id)
    anew = {(GateKind.BIAS, each.metric, each.attribute) for each in measured}
    kept = tuple(each for each in before.results if (each.kind, each.metric, each.attribute) not in anew)
    after = GateRecord(
        digest=version.digest,
        results=kept + measured,
        bias_policy=result.policy.model_dump(mode="json", exclude_none=True),
    )
    registry.set_tag(version.name, version.version, GATES_TAG, after.to_json())
    return after


def _judged(attributes: Iterable[AttributeReport]) -> Iterator[tuple[AttributeReport, DisparityReport]]:
    for attribute in attributes:
        for disparity in attribute.disparities:
            yield attribute, disparity


def _result(
    attribute: str, disparity: DisparityReport, limit: float, verdict: Verdict, test_id: str | None
) -> GateResult:
    return GateResult(
        kind=GateKind.BIAS,
        metric=disparity.metric,
        attribute=attribute,
        value=disparity.value,
        limit=limit,
        verdict=GateVerdict(verdict.value),
        required=disparity.required,
        gating=disparity.gating,
        message=describe(attribute, disparity),
        test_id=test_id,
    )
