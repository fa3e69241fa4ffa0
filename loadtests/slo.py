"""Service-level objectives of a load test, and whether a run met them."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import binom


@dataclass(frozen=True, slots=True)
class Objectives:
    """What a run must show.

    `split_confidence` is the coverage of the binomial bounds around the challenger's weight: at 0.9999 a correct
    split is called wrong once in ten thousand runs.
    """

    error_ratio: float = 0.0
    p95_milliseconds: float = 50.0
    requests: int = 1_000
    split_confidence: float = 0.9999


@dataclass(frozen=True, slots=True)
class Observed:
    """What a run showed. Units are counted once each, however many requests they sent.

    `weight` is the challenger's share that the service says it has, None when it says nothing.
    """

    requests: int
    failures: int
    p95_milliseconds: float
    units: int
    challenger_units: int
    moved_units: int
    weight: float | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One objective, what was seen, and whether it was met."""

    objective: str
    seen: str
    met: bool


def split_bounds(units: int, weight: float, confidence: float) -> tuple[int, int]:
    """Return the smallest and the largest number of challenger units that a correct split of `units` explains.

    >>> split_bounds(1000, 0.5, 0.9999)
    (439, 561)
    >>> split_bounds(1000, 0.0, 0.9999)
    (0, 0)
    """
    low, high = binom.interval(confidence, units, weight)
    return int(low), int(high)


def judge(observed: Observed, objectives: Objectives) -> list[Finding]:
    """Return a finding per objective; a run without requests meets none of them."""
    ratio = observed.failures / observed.requests if observed.requests else 1.0
    findings = [
        Finding(
            f"at least {objectives.requests:,} requests",
            f"{observed.requests:,}",
            observed.requests >= objectives.requests,
        ),
        Finding(
            f"error ratio at most {objectives.error_ratio:g}",
            f"{ratio:.5f} ({observed.failures} of {observed.requests:,})",
            observed.requests > 0 and ratio <= objectives.error_ratio,
        ),
        Finding(
            f"p95 at most {objectives.p95_milliseconds:g} ms",
            f"{observed.p95_milliseconds:.1f} ms",
            observed.requests > 0 and observed.p95_milliseconds <= objectives.p95_milliseconds,
        ),
        Finding("no unit changes its variant", f"{observed.moved_units} did", observed.moved_units == 0),
    ]
    return [*findings, _judge_split(observed, objectives)]


def _judge_split(observed: Observed, objectives: Objectives) -> Finding:
    if observed.weight is None:
        return Finding("the split is the weight", "the service did not say its weight", met=False)
    low, high = split_bounds(observed.units, observed.weight, objectives.split_confidence)
    return Finding(
        f"{low:,} to {high:,} of {observed.units:,} units at the challenger (weight {observed.weight:g})",
        f"{observed.challenger_units:,}",
        observed.units > 0 and low <= observed.challenger_units <= high,
    )
