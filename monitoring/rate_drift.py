"""How a share of rows changed: of missing values, of new categories, of numbers out of range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fairness.intervals import newcombe
from fairness.significance import equal_rates_p
from monitoring.drift_policy import DriftPolicy, DriftVerdict
from monitoring.drift_report import RateCheck

TOO_FEW: Final = "too few rows to tell a change that matters from none"


@dataclass(frozen=True, slots=True)
class Rate:
    """Rows that were hit, of how many, in the reference and now; and the rise or change from which it matters."""

    reference: tuple[int, int]
    current: tuple[int, int]
    threshold: float
    only_rises: bool

    @property
    def p_value(self) -> float | None:
        """The p-value of equal shares; None where no row was hit, or there are no rows: that is no test."""
        (x1, n1), (x2, n2) = self.current, self.reference
        return float(equal_rates_p(x1, n1, x2, n2)[0]) if n1 and n2 and x1 + x2 else None

    def check(self, p_adjusted: float | None, policy: DriftPolicy) -> RateCheck:
        """Return what is said of the change, given its p-value corrected for all checks of a report."""
        (x1, n1), (x2, n2) = self.current, self.reference
        if not n1 or not n2:
            return RateCheck(
                reference_rate=x2 / n2 if n2 else None,
                rate=x1 / n1 if n1 else None,
                affected=x1,
                lower=None,
                upper=None,
                p_adjusted=None,
                verdict=DriftVerdict.INSUFFICIENT_EVIDENCE,
                reason="no rows were counted",
            )
        lower, upper = (float(bound) for bound in newcombe(x1, n1, x2, n2, 1 - policy.alpha))
        change = x1 / n1 - x2 / n2
        size = change if self.only_rises else abs(change)
        possible = upper if self.only_rises else max(abs(lower), abs(upper))
        verdict, reason = DriftVerdict.INSUFFICIENT_EVIDENCE, few_rows(n2, n1, policy.minimum_rows)
        if not reason:
            if p_adjusted is not None and p_adjusted <= policy.alpha and size >= self.threshold:
                verdict = DriftVerdict.DRIFT
            elif possible < self.threshold:
                verdict = DriftVerdict.NO_DRIFT
            else:
                reason = TOO_FEW
        return RateCheck(
            reference_rate=x2 / n2,
            rate=x1 / n1,
            affected=x1,
            lower=lower,
            upper=upper,
            p_adjusted=p_adjusted,
            verdict=verdict,
            reason=reason,
        )


def few_rows(n: int, m: int, minimum: int) -> str:
    """Return why nothing is said of `m` rows beside `n` of the reference; empty where there are enough."""
    if min(n, m) >= minimum:
        return ""
    return f"{m:,} rows with a value beside {n:,} of the reference; at least {minimum:,} are needed on both sides"
