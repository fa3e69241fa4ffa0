"""What a mitigation changed, on the same held-out rows: the groups, and what was paid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from fairness.disparities import Metric
from fairness.rates import RateName
from fairness.report import AttributeReport
from training.evaluation import Measurements
from training.mitigation import Constraint, Method

SHOWN_RATES = (
    RateName.SELECTION_RATE,
    RateName.TRUE_POSITIVE_RATE,
    RateName.FALSE_POSITIVE_RATE,
    RateName.ACCURACY,
)
"""The rates of each group that are logged as metrics and printed; the artifact has all of them."""


class Measured(BaseModel):
    """One of the two versions: its quality, and its groups with rates, differences and intervals.

    `version` is empty where it is not registered yet.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    quality: dict[str, float]
    fairness: AttributeReport


class BeforeAfter(BaseModel):
    """A mitigated version beside the one it is the mitigation of, both measured on the same held-out `rows`.

    `details` are what the method found: the threshold of each group, the weights of a mixture, the range of weights
    of the rows. `after.version` is empty in the artifact, which is logged before the version is registered.
    """

    model_config = ConfigDict(frozen=True)

    method: Method
    attribute: str
    constraint: Constraint
    rows: int
    before: Measured
    after: Measured
    details: dict[str, Any]

    def registered_as(self, version: str) -> BeforeAfter:
        """Return it with the name of the mitigated version."""
        return self.model_copy(update={"after": self.after.model_copy(update={"version": version})})

    def numbers(self) -> dict[str, float]:
        """Return what is logged beside the version's own metrics, by its name in MLflow.

        `before.accuracy` and `change.accuracy`, the same of each disparity, and the rates of each group before and
        after.
        """
        found = {}
        for name, before, after in self.lines():
            if before is not None:
                found[f"before.{name}"] = before
            if after is not None and ".group." in name:
                found[name] = after
            if before is not None and after is not None:
                found[f"change.{name}"] = after - before
        return found

    def lines(self) -> Iterator[tuple[str, float | None, float | None]]:
        """Yield name, value before and value after: quality, then disparities, then rates of groups."""
        for name, before in self.before.quality.items():
            yield name, before, self.after.quality[name]
        values = {name: _disparities(side.fairness) for name, side in self._sides()}
        for metric in Metric:
            yield f"{self.attribute}.{metric}", values["before"][metric], values["after"][metric]
        rates = {name: _rates(side.fairness) for name, side in self._sides()}
        for group, rate in rates["before"]:
            before_rate, after_rate = (rates[name][group, rate] for name in ("before", "after"))
            yield f"{self.attribute}.group.{group}.{rate}", before_rate, after_rate

    def _sides(self) -> tuple[tuple[str, Measured], tuple[str, Measured]]:
        return ("before", self.before), ("after", self.after)


def compare(
    before: Measurements,
    after: Measurements,
    *,
    of: str,
    method: Method,
    attribute: str,
    constraint: Constraint,
    details: Mapping[str, Any],
) -> BeforeAfter:
    """Return both measurements side by side; `of` names the version that was measured before."""
    return BeforeAfter(
        method=method,
        attribute=attribute,
        constraint=constraint,
        rows=after.rows,
        before=_measured(before, attribute, of),
        after=_measured(after, attribute, ""),
        details=dict(details),
    )


def _measured(measured: Measurements, attribute: str, version: str) -> Measured:
    reports = measured.bias.attributes if measured.bias else ()
    (report,) = (report for report in reports if report.attribute == attribute)
    return Measured(version=version, quality=dict(measured.quality), fairness=report)


def _disparities(report: AttributeReport) -> dict[Metric, float | None]:
    return {disparity.metric: disparity.value for disparity in report.disparities}


def _rates(report: AttributeReport) -> dict[tuple[str, RateName], float | None]:
    return {(group.group, rate): getattr(group, rate).value for group in report.groups for rate in SHOWN_RATES}
