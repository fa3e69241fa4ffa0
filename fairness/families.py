"""Which tests were made together: what a corrected p-value was corrected for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from fairness.rates import RateName
from fairness.reference import TESTED, Comparison
from fairness.significance import benjamini_hochberg
from fairness.verdicts import Family


class Purpose(StrEnum):
    """What a family of tests is for."""

    GATE = "gate"
    SHOWN = "shown"
    EXPLORATION = "exploration"


@dataclass(frozen=True, slots=True)
class FamilyMember:
    """The tests of one rate between the groups of one attribute."""

    attribute: str
    rate: RateName
    groups: int
    tests: int


@dataclass(frozen=True, slots=True)
class FamilyRecord:
    """The tests corrected for together, by which method, and how many reject equal rates at level `alpha`.

    `gate`: all pairs of groups in the rates of gating tolerances (Holm). `shown`: those of tolerances that do not
    gate (Holm). `exploration`: each group beside the reference (Benjamini and Hochberg).
    """

    purpose: Purpose
    method: str
    alpha: float
    size: int
    rejected: int
    members: tuple[FamilyMember, ...]


def record(purpose: Purpose, family: Family, alpha: float) -> FamilyRecord:
    """Return the record of a family of Holm."""
    return FamilyRecord(
        purpose,
        "holm",
        alpha,
        family.size,
        sum(int((adjusted <= alpha).sum()) for adjusted in family.adjusted.values()),
        tuple(
            FamilyMember(attribute, rate, family.groups[attribute, rate], len(adjusted))
            for (attribute, rate), adjusted in family.adjusted.items()
        ),
    )


def explore(
    compared: Mapping[str, Sequence[Comparison]], alpha: float
) -> tuple[dict[str, tuple[Comparison, ...]], FamilyRecord]:
    """Return the comparisons of every attribute with their q-values, and the record of their family.

    A difference and a ratio of one rate are one test.
    """
    raw = {
        (attribute, TESTED[one.metric], one.group): one.p_value
        for attribute, comparisons in compared.items()
        for one in comparisons
        if one.p_value is not None
    }
    adjusted = benjamini_hochberg(np.array(list(raw.values())))
    q_values = dict(zip(raw, adjusted.tolist(), strict=True))
    tests: dict[tuple[str, RateName], int] = {}
    for attribute, rate, _ in raw:
        tests[attribute, rate] = tests.get((attribute, rate), 0) + 1
    found = {
        attribute: tuple(
            one if one.p_value is None else replace(one, q_value=q_values[attribute, TESTED[one.metric], one.group])
            for one in comparisons
        )
        for attribute, comparisons in compared.items()
    }
    members = tuple(FamilyMember(*key, groups=count + 1, tests=count) for key, count in tests.items())
    rejected = int((adjusted <= alpha).sum())
    return found, FamilyRecord(Purpose.EXPLORATION, "benjamini_hochberg", alpha, len(raw), rejected, members)
