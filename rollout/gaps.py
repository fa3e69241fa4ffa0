"""Asymptotic bounds of means and of gaps between groups, of one arm or of the challenger against the control.

What is bounded is the worst of several contrasts: of one mean there is one contrast, of K groups there are K(K - 1)
ordered pairs. That the worst exceeds a margin is certified by any contrast whose lower bound does, at α divided by
their number (a union bound); that it does not, by all their upper bounds, each at the whole α (an
intersection-union test, Berger 1982).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rollout.bounds import Bounds, Levels, mean_e, times_needed
from rollout.rates import Rates
from rollout.sequential import mixture_scale, one_sided_log_e, one_sided_radius

Floats = NDArray[np.float64]


class Contrasts(NamedTuple):
    """Estimates, their variances and clocks; the worst is over the first axis of the least over the second."""

    estimate: Floats
    variance: Floats
    clock: Floats
    margin: float
    planned: int


def ordered_pairs(groups: int, reference: int | None) -> Floats:
    """Return the signed gaps of groups as rows [P, G]: of the reference over each other, or of each over each."""
    rows = [
        np.eye(groups)[first] - np.eye(groups)[second]
        for first in range(groups)
        for second in range(groups)
        if first != second and reference in (None, first)
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, groups)


def widened(means: Rates) -> Rates:
    """Return rates of yes and no with variances as if a yes and a no more had been seen: no rate is certain."""
    added = (means.mean * means.n + 1) / (means.n + 2)
    return means._replace(variance=np.maximum(means.variance, added * (1 - added) / means.n))


def logarithms(means: Rates) -> Rates:
    """Return the rates' logarithms, with variances by the delta method: (1 - p)/(np) for yes and no.

    A rate of 0 counts as one yes.
    """
    mean = np.maximum(means.mean, 1 / means.n)
    return Rates(np.log(mean), np.maximum(means.variance / mean**2, (1 - mean) / (means.n * mean)), means.n)


def of_one_arm(gaps: Floats, means: Rates, margin: float, planned: int) -> Contrasts:
    """Return the gaps, rows [P, G] of what is subtracted from what, within one arm, whose means are [..., G]."""
    used = np.where(gaps != 0, 1.0, 0.0)
    parts = means.mean @ gaps.T, means.variance @ (gaps**2).T, used.sum(axis=1) ** 2 / ((1 / means.n) @ used.T)
    estimate, variance, clock = (part[..., None] for part in parts)
    return Contrasts(estimate, variance, clock, margin, planned)


def of_two_arms(gaps: Floats, means: Rates, *, signed: bool, margin: float, planned: int) -> Contrasts:
    """Return gaps [P, G] of the challenger, the first G rates, less gaps of the control, the others.

    `signed`: each gap less the same gap (a difference in differences). Otherwise each less the control's largest,
    of which is known only that none exceeds it: a gap has widened by more than a margin if it exceeds *every* gap
    of the control by more than that, and it has not if it exceeds *any* by no more.
    """
    groups = gaps.shape[1]
    ours = of_one_arm(gaps, Rates(*(values[..., :groups] for values in means)), margin, planned)
    theirs = of_one_arm(gaps, Rates(*(values[..., groups:] for values in means)), margin, planned)
    used = (gaps != 0).sum(axis=1)[:, None]

    def against(own: Floats, other: Floats) -> Floats:
        return np.asarray(own + (other if signed else np.swapaxes(other, -1, -2)), dtype=np.float64)

    return Contrasts(
        against(ours.estimate, -theirs.estimate),
        against(ours.variance, theirs.variance),
        against(used, used) ** 2 / against(used**2 / ours.clock, used**2 / theirs.clock),
        margin,
        planned,
    )


def extremes(contrasts: Contrasts, levels: Levels) -> tuple[Floats, Floats]:
    """Return contrasts' bounds from below and above [..., P, U], at the levels that certify the worst one."""
    estimate, variance, clock, _, planned = contrasts
    alphas = levels.rollback / estimate.shape[-2], levels.promote / estimate.shape[-1]
    below, above = (one_sided_radius(variance, clock, mixture_scale(planned, one), one) for one in alphas)
    return estimate - below, estimate + above


def worst_of(bounds: Floats) -> Floats:
    """Return of [..., P, U] what holds for the largest of P, each known by the least of U."""
    return np.asarray(bounds.min(axis=-1).max(axis=-1), dtype=np.float64)


def worst(contrasts: Contrasts, levels: Levels) -> Bounds:
    """Return the bounds of the worst contrast."""
    estimate, variance, clock, margin, planned = contrasts
    below, above = extremes(contrasts, levels)
    rollback, promote = levels.rollback / len(estimate), levels.promote / estimate.shape[1]
    z = (estimate - margin) / np.sqrt(np.maximum(variance, 1e-300))
    evidence = one_sided_log_e(z, clock, mixture_scale(planned, rollback)).min(axis=1)
    scale = mixture_scale(planned, promote)
    row = int(above.min(axis=1).argmax())
    at = row, int(above[row].argmin())

    def passes(times: Floats) -> NDArray[np.bool_]:
        radius = one_sided_radius(variance[at] / times, clock[at] * times, scale, promote)
        return np.asarray(estimate[at] + radius <= margin)

    return Bounds(
        estimate=float(worst_of(estimate)),
        lower=float(worst_of(below)),
        upper=float(above[at]),
        log_e=mean_e(evidence.tolist()),
        more=times_needed(passes) if estimate[at] < margin else None,
    )
