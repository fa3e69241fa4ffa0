"""A bias test in FairMind's words: what its `bias-v2` API takes, answers and keeps.

Its four metrics are ratios between the lowest and the highest group. Here they come from our engine with its
verdicts: `passed` is null where the evidence does not suffice, and `interpretation` says why. Equalized odds is the
worse of its two ratios, as everywhere else here; FairMind took their mean, a definition that no other library has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from assessment.options import Label
from assessment.result import BiasTestResult
from assessment.stored import Findings
from fairness.disparities import Metric
from fairness.gate import BiasPolicy, Tolerance, Verdict
from fairness.rates import Rate
from fairness.report import AttributeReport, DisparityReport, describe

_METRICS: Final[Mapping[str, Metric]] = {
    "demographic_parity": Metric.DEMOGRAPHIC_PARITY_RATIO,
    "equalized_odds": Metric.EQUALIZED_ODDS_RATIO,
    "equal_opportunity": Metric.EQUAL_OPPORTUNITY_RATIO,
    "predictive_parity": Metric.PREDICTIVE_PARITY_RATIO,
}
"""FairMind's names, and what our engine calls them."""
_RISKS: Final = ("low", "medium", "high", "critical")
UNKNOWN_RISK: Final = "unknown"
"""Nothing failed, and not everything could be judged: that is no low risk."""

_CONFIG = ConfigDict(frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True, protected_namespaces=())


class DetectRequest(BaseModel):
    """A bias test of an uploaded data set that holds predictions; one protected attribute."""

    model_config = _CONFIG

    model_id: str = Field(min_length=1, max_length=200)
    """What made the predictions; any name, it need not be served here."""
    dataset_id: str
    """What `upload-dataset` answered, or a data set's name."""
    protected_attribute: str
    """Column of the protected attribute."""
    prediction_column: str = "prediction"
    """Column of what was decided."""
    ground_truth_column: str | None = None
    """Column of what turned out to be true; without it demographic parity alone can be measured."""
    positive_label: Label = 1
    """The label one would rather get."""
    fairness_threshold: float = Field(default=0.8, gt=0, lt=1)
    """The least ratio between the lowest and the highest group."""
    metrics: tuple[str, ...] = tuple(_METRICS)
    """Which of demographic_parity, equalized_odds, equal_opportunity and predictive_parity."""

    @field_validator("metrics")
    @classmethod
    def _check_metrics(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in metrics if name not in _METRICS]
        if unknown or not metrics:
            raise ValueError(f"there are the metrics {', '.join(_METRICS)}")
        return tuple(dict.fromkeys(metrics))

    @property
    def policy(self) -> BiasPolicy:
        """The tolerances it asks for, as far as they can be measured."""
        wanted = [_METRICS[name] for name in self.metrics]
        return BiasPolicy(
            tolerances=tuple(
                Tolerance(metric=metric, attribute=self.protected_attribute, at_least=self.fairness_threshold)
                for metric in wanted
                if self.ground_truth_column is not None or not metric.needs_outcomes
            )
        )


class MetricRecord(BaseModel):
    """One metric as FairMind has it; null where it is not known."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True, extra="allow")

    score: float | None = Field(default=None, allow_inf_nan=False)
    """The value; for a ratio, 1 is best."""
    passed: bool | None = None
    """Whether it keeps the threshold; null where that is not known."""
    disparity: float | None = Field(default=None, allow_inf_nan=False)
    """How far it is from the best."""
    group_scores: dict[str, float | None] = Field(default_factory=dict)
    """The rate of each group."""
    interpretation: str = ""
    """What that means."""
    recommendations: tuple[str, ...] = ()
    """What to do about it."""


class LlmRecord(BaseModel):
    """A bias test of a language model that was measured elsewhere."""

    model_config = _CONFIG

    model_id: str = Field(min_length=1, max_length=200)
    """What was tested."""
    dataset_id: str | None = None
    """On what."""
    prompt_column: str = "prompt"
    """Column of the prompts."""
    response_column: str = "response"
    """Column of the answers."""
    metrics: tuple[str, ...] = ()
    """Which metrics were asked for."""
    results: dict[str, MetricRecord] | None = None
    """What was found, by metric."""


def record_of(result: BiasTestResult, metrics: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Return a test as the response of `bias-v2/detect`.

    With `metrics` (FairMind's names) those of its one attribute; else everything that was judged, under our names,
    with the attribute behind them where there are several.
    """
    found = _asked_for(result, metrics) if metrics is not None else dict(_judged(result))
    return response(result.test_id, result.model or "", result.created_at.isoformat(), found)


def response(test_id: str, model_id: str, timestamp: str, results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the response that says what these results, by metric, amount to."""
    findings = findings_of(results)
    advice = dict.fromkeys(line for entry in results.values() for line in entry["recommendations"])
    return {
        "test_id": test_id,
        "model_id": model_id,
        "timestamp": timestamp,
        "overall_risk": findings.overall_risk,
        "metrics_passed": findings.metrics_passed,
        "metrics_failed": findings.metrics_failed,
        "results": dict(results),
        "summary": findings.summary,
        "recommendations": list(advice),
    }


def findings_of(results: Mapping[str, Any]) -> Findings:
    """Return what results amount to: FairMind's risk goes by the number of failed metrics."""
    passed = sum(entry["passed"] is True for entry in results.values())
    failed = sum(entry["passed"] is False for entry in results.values())
    open_ = len(results) - passed - failed
    risk = _RISKS[min(failed, 3)]
    if not failed and (open_ or not results):
        risk = UNKNOWN_RISK
    told = f"{passed} of {len(results)} metrics passed, {failed} failed"
    summary = f"{told}, {open_} could not be judged on these rows." if open_ else f"{told}."
    return Findings(risk, passed, failed, summary)


def findings_in(record: Mapping[str, Any]) -> Findings:
    """Return the findings that a record states of itself, as FairMind's own services wrote them."""
    return Findings(
        overall_risk=str(record.get("overall_risk") or UNKNOWN_RISK),
        metrics_passed=_count(record.get("metrics_passed")),
        metrics_failed=_count(record.get("metrics_failed")),
        summary=str(record.get("summary") or ""),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _asked_for(result: BiasTestResult, metrics: tuple[str, ...]) -> dict[str, Any]:
    (attribute,) = result.attributes
    measured = {disparity.metric: disparity for disparity in attribute.disparities}
    return {name: _entry(attribute, measured[_METRICS[name]]) for name in metrics}


def _judged(result: BiasTestResult) -> Iterator[tuple[str, dict[str, Any]]]:
    several = len(result.attributes) > 1
    for attribute in result.attributes:
        for disparity in attribute.disparities:
            if disparity.verdict is not None:
                name = f"{disparity.metric}_{attribute.attribute}" if several else str(disparity.metric)
                yield name, _entry(attribute, disparity)


def _entry(attribute: AttributeReport, disparity: DisparityReport) -> dict[str, Any]:
    told = describe(attribute.attribute, disparity)
    if disparity.verdict is Verdict.INSUFFICIENT_EVIDENCE:
        told = f"There is not enough evidence to judge. {told}"
    elif disparity.verdict is None:
        told = f"Not judged. {told}"
    return {
        "score": disparity.value,
        "passed": {Verdict.PASS: True, Verdict.FAIL: False}.get(disparity.verdict) if disparity.verdict else None,
        "disparity": _distance(disparity),
        "group_scores": _group_scores(attribute, disparity),
        "interpretation": f"{told}.",
        "recommendations": _advice(attribute, disparity),
        "verdict": None if disparity.verdict is None else str(disparity.verdict),
    }


def _distance(disparity: DisparityReport) -> float | None:
    if disparity.value is None:
        return None
    return 1 - disparity.value if disparity.metric.is_ratio else disparity.value


def _group_scores(attribute: AttributeReport, disparity: DisparityReport) -> dict[str, float]:
    """Return the rate that sets the disparity, of each group that has one: an undefined rate is no 0."""
    name = disparity.rate or disparity.metric.rates[0]
    rates: dict[str, Rate] = {group.group: getattr(group, str(name)) for group in attribute.groups}
    return {group: rate.value for group, rate in rates.items() if rate.value is not None}


def _advice(attribute: AttributeReport, disparity: DisparityReport) -> list[str]:
    where = f"{disparity.metric} on {attribute.attribute}"
    if disparity.verdict is Verdict.FAIL:
        return [
            f"{where}: find out why group '{disparity.lowest}' and group '{disparity.highest}' differ in "
            f"{disparity.rate}; whatever is changed, measure it on rows held out from it."
        ]
    if disparity.verdict is Verdict.INSUFFICIENT_EVIDENCE and disparity.note:
        return [f"{where}: {disparity.note}."]
    return []
