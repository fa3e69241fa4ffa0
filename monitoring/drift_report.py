"""What a comparison of a window with its reference found, as values that are stored, sent and shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from monitoring.drift_policy import DriftPolicy, DriftVerdict
from monitoring.estimation import Estimate


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReferenceKind(StrEnum):
    """What a window is compared with."""

    PROFILE = "registered_profile"
    PREVIOUS_WINDOW = "previous_window"


class Reference(_Frozen):
    """What a window is compared with: the profile of the version, or the window of the same length before it."""

    kind: ReferenceKind
    rows: int
    since: datetime | None = None
    until: datetime | None = None


class Shape(_Frozen):
    """How the distribution of values changed; missing ones are left aside.

    `psi_by_chance` is the index that is expected of this many rows where nothing changed. The test is
    `kolmogorov_smirnov` for numbers, on counts: the statistic is a lower bound and the p-value conservative; and
    `chi_squared` for categories. `p_adjusted` is corrected for all checks of the report.
    """

    reference_rows: int
    rows: int
    psi: float | None
    psi_by_chance: float | None
    jensen_shannon_distance: float | None
    test: str
    statistic: float | None
    p_value: float | None
    p_adjusted: float | None
    verdict: DriftVerdict
    reason: str = ""


class RateCheck(_Frozen):
    """How a share of rows changed: missing values, new categories, numbers outside the reference's range.

    [lower, upper] is Newcombe's interval of the difference, at the level of the policy.
    """

    reference_rate: float | None
    rate: float | None
    affected: int
    lower: float | None
    upper: float | None
    p_adjusted: float | None
    verdict: DriftVerdict
    reason: str = ""


class ColumnDrift(_Frozen):
    """What changed of one feature, or of predictions, scores or outcomes.

    `new_values` are categories the reference does not name, or values that a number of few values did not have;
    None where that cannot be told or means nothing. `out_of_range` is of numbers.
    """

    name: str
    kind: str
    shape: Shape
    missing: RateCheck | None = None
    new_values: RateCheck | None = None
    out_of_range: RateCheck | None = None
    verdict: DriftVerdict

    @property
    def found(self) -> tuple[str, ...]:
        """What changed, in words."""
        checks = {
            "distribution": self.shape,
            "missing values": self.missing,
            "new values": self.new_values,
            "out of range": self.out_of_range,
        }
        return tuple(what for what, check in checks.items() if check and check.verdict is DriftVerdict.DRIFT)


class DriftReport(_Frozen):
    """A window compared with one reference.

    `verdict` is `drift` where anything drifted, `no_drift` where everything was shown not to, and otherwise
    `insufficient_evidence`. `score` is the largest population stability index of a feature, of `score_feature`;
    None where none could be computed. It is no share: it has no upper end.
    """

    rows: int
    since: datetime | None = None
    until: datetime | None = None
    reference: Reference
    policy: DriftPolicy
    verdict: DriftVerdict
    score: float | None
    score_feature: str | None
    features: tuple[ColumnDrift, ...]
    prediction: ColumnDrift | None
    scores: ColumnDrift | None
    outcome: ColumnDrift | None
    notes: tuple[str, ...] = ()

    def drifted(self) -> tuple[str, ...]:
        """Return the names of what drifted, features first."""
        found = [*self.features, *(one for one in (self.prediction, self.scores, self.outcome) if one is not None)]
        return tuple(one.name for one in found if one.verdict is DriftVerdict.DRIFT)


class Refused(_Frozen):
    """Requests that were refused since a row of theirs does not fit the signature; none of their rows was answered.

    Counted in every worker, also before a restart; one that is killed takes its last fifth of a second of them with
    it. They are of the model: which of its versions and variants would have answered, nobody knows. `codes` says
    of how many requests what was wrong with the first such row.
    """

    requests: int
    codes: Mapping[str, int]


class DriftAnswer(_Frozen):
    """All that is known of a window of one version: both comparisons, and its performance without labels.

    `against_profile` is None for a version without a registered profile: `notes` say so, and the window before is
    the only reference. `against_previous` is None where nothing was counted in that window. `refused` is in no
    verdict, which are of rows that were answered; None of a table of one's own.
    """

    model: str
    model_version: str
    variant: str | None = None
    since: datetime
    until: datetime
    rows: int
    refused: Refused | None = None
    against_profile: DriftReport | None
    against_previous: DriftReport | None
    performance: Estimate | None
    performance_reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def leading(self) -> DriftReport | None:
        """The comparison with what the version learned from, or where there is none with the window before."""
        return self.against_profile or self.against_previous
