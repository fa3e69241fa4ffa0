"""How far two sets of counts over the same cells are apart, and whether chance explains it: pure.

Counts are [K] vectors over the cells of a reference profile. Nothing here knows what a cell is, but that those of a
number are in ascending order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Counts = NDArray[np.int64]

_EMPTY_SHARE = 1e-4
_SMALLEST_EXPECTED = 5.0


@dataclass(frozen=True, slots=True)
class TestResult:
    """A test's statistic and its p-value; both None where it cannot be made, with the reason."""

    __test__ = False  # no test of pytest's

    statistic: float | None
    p_value: float | None
    reason: str = ""


def population_stability_index(reference: Counts, current: Counts, empty_share: float = _EMPTY_SHARE) -> float:
    """Return the sum of (q - p) ln(q / p) over the cells' shares p and q: 0 where equal, without upper end.

    A habit of credit scoring calls 0.1 to 0.25 a moderate change and more a large one (Siddiqi, Credit Risk
    Scorecards, 2006). It is symmetric, and the sum of both Kullback-Leibler divergences. An empty cell counts as
    `empty_share` of its side, since the logarithm has no value there; cells empty on both sides add nothing.
    Nothing on either side: NaN.
    """
    p, q = _shares(reference, current)
    p, q = np.maximum(p, empty_share), np.maximum(q, empty_share)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon_distance(reference: Counts, current: Counts) -> float:
    """Return the square root of the Jensen-Shannon divergence to base 2: 0 where equal, 1 where nothing is shared.

    A metric (Endres and Schindelin, IEEE Trans. Inf. Theory 49, 2003). Nothing on either side: NaN.
    """
    p, q = _shares(reference, current)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return float(np.sqrt(np.clip(divergence / np.log(2.0), 0.0, 1.0)))


def kolmogorov_smirnov(reference: Counts, current: Counts) -> TestResult:
    """Return the two-sample test on counts over ascending cells.

    The statistic is the largest difference of both distribution functions at the cells' upper ends: a lower bound
    of the one on the values themselves, and equal to it where each cell holds one value. Its p-value, by the
    asymptotic formula with scipy's effective size, is therefore an upper bound: conservative.
    """
    n, m = int(reference.sum()), int(current.sum())
    if not n or not m:
        return TestResult(None, None, "no value on one side")
    difference = np.abs(np.cumsum(reference) / n - np.cumsum(current) / m)
    statistic = float(min(1.0, difference.max()))
    return TestResult(statistic, float(np.clip(stats.kstwo.sf(statistic, np.round(n * m / (n + m))), 0.0, 1.0)))


def chi_squared(reference: Counts, current: Counts) -> TestResult:
    """Return Pearson's test of homogeneity of two rows of counts, without continuity correction.

    Cells of which fewer than five rows are expected on either side are taken together first, the rarest before the
    others, since the chi-squared distribution does not hold for them (Cochran, Biometrics 10, 1954).
    """
    n, m = int(reference.sum()), int(current.sum())
    if not n or not m:
        return TestResult(None, None, "no value on one side")
    both = pooled(np.stack([reference, current]))
    if both.shape[1] < 2:
        return TestResult(None, None, "too few rows outside one category")
    expected = both.sum(axis=1, keepdims=True) * both.sum(axis=0) / (n + m)
    statistic = float(((both - expected) ** 2 / expected).sum())
    return TestResult(statistic, float(stats.chi2.sf(statistic, both.shape[1] - 1)))


def pooled(both: Counts) -> Counts:
    """Return [2, K] counts with rare cells taken together, so that each expects five rows on each side."""
    both = both[:, both.sum(axis=0) > 0]
    total = both.sum()
    smaller_side = both.sum(axis=1).min()
    expected = both.sum(axis=0) * smaller_side / total if total else both.sum(axis=0)
    order = np.argsort(expected, kind="stable")
    gathered = np.cumsum(expected[order])
    if not len(order) or expected[order[0]] >= _SMALLEST_EXPECTED:
        return both
    together = int(np.searchsorted(gathered, _SMALLEST_EXPECTED)) + 1
    # A cell that is small by itself joins, also where those before it would do.
    together = max(together, int((expected < _SMALLEST_EXPECTED).sum()))
    rest = both[:, order[:together]].sum(axis=1, keepdims=True)
    return np.concatenate([both[:, np.sort(order[together:])], rest], axis=1)


def stability_below(psi: float, threshold: float, cells: int, n: int, m: int) -> float:
    """Return how likely an index of at most `psi` is, were the true one `threshold`: small says it is below.

    To second order the index times nm / (n + m) has a chi-squared distribution with `cells` - 1 degrees of freedom,
    not central by the true index times the same (Yurdakul, Statistical Properties of Population Stability Index,
    2018, for the central case). 1.0 where there is nothing to say.
    """
    if cells < 2 or not n or not m or not np.isfinite(psi):
        return 1.0
    size = n * m / (n + m)
    return float(np.clip(stats.ncx2.cdf(size * psi, cells - 1, size * threshold), 0.0, 1.0))


def _shares(reference: Counts, current: Counts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    used = (reference > 0) | (current > 0)
    n, m = reference.sum(), current.sum()
    if not n or not m:
        nothing = np.array([np.nan])
        return nothing, nothing
    return reference[used] / n, current[used] / m


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(p > 0, p * np.log(p / q), p * 0).sum())
