"""The whole judgement on simulated traffic: ramps, trends, soaks, users that come back; what it finds, how soon."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from rollout.evidence import CHALLENGER, CONTROL, PAIRED, Cell, CellKey, Cells
from rollout.guardrail import Guardrail, Verdict
from rollout.judging import judge
from rollout.sequential import mixture_scale, one_sided_radius
from tests.statistics.streams import RUNS, allowed, ever

ALPHA = 0.05
FEW = [pytest.param(15, id="some runs"), pytest.param(1_000, marks=pytest.mark.long, id="the whole table")]
RAMP = ((0.01, 4_000), (0.05, 4_000), (0.25, 4_000), (0.5, 4_000))
"""Weight of the challenger and units that come while it lasts."""


def yes(n: int, k: int) -> Cell:
    return Cell(int(n), float(k), float(k))


def verdicts(guardrail: Guardrail, looks: Iterator[Cells], arm: str = CHALLENGER) -> set[Verdict]:
    """Return the verdicts of all looks up to the first violation."""
    found: set[Verdict] = set()
    for cells in looks:
        found.add(judge(guardrail, cells, arm=arm, alpha_rollback=ALPHA, alpha_promote=ALPHA).verdict)
        if Verdict.VIOLATED in found:
            break
    return found


def least(runs: int, power: float) -> int:
    """Return how many of `runs` find what is found with chance `power`: of a few runs the 0.1 % quantile."""
    return int(stats.binom.ppf(0.001, runs, power)) if runs < 100 else int(power * runs)


def ramp(rng: np.random.Generator, looks: int) -> Iterator[Cells]:
    """Yield the counts of two equal versions while the weight rises and so does the rate, from 10 to 40 %."""
    cells: dict[CellKey, Cell] = {}
    steps = [*((weight, weight, units) for weight, units in RAMP), (0.95, 0.05, 4_000)]
    for step, (ours, theirs, units) in enumerate(steps):
        for look in range(looks):
            rate = 0.1 + 0.3 * (step + look / looks) / len(steps)
            for arm, weight in ((CHALLENGER, ours), (CONTROL, theirs)):
                n = rng.binomial(units // looks, weight)
                key = CellKey(step, arm, "", "")
                cells[key] = cells.get(key, Cell(0, 0.0, 0.0)) + yes(n, rng.binomial(n, rate))
            yield dict(cells)


@pytest.mark.parametrize("runs", FEW)
@pytest.mark.parametrize("metric", ["mean_outcome", "error_rate"])
def test_a_ramp_with_a_trend_and_a_soak_is_no_difference(metric: str, runs: int) -> None:
    guardrail = Guardrail.model_validate({"metric": metric, "margin": 0, "required": False, "harm": "increase"})
    rng = np.random.default_rng(20)
    found = [verdicts(guardrail, ramp(rng, 4 if runs > 100 else 2)) for _ in range(runs)]
    assert sum(Verdict.VIOLATED in one for one in found) <= allowed(runs, ALPHA)


@pytest.mark.parametrize("runs", RUNS)
def test_totals_of_a_ramp_against_all_of_the_champion_are_caught(runs: int) -> None:
    rng = np.random.default_rng(21)
    n = np.zeros((runs, 2)), np.zeros((runs, 2))
    alarms = []
    for step, (weight, units) in enumerate(RAMP):
        for look in range(20):
            rate = 0.1 + 0.3 * (step + look / 20) / 4
            ours = rng.binomial(units // 20, weight, runs)
            for arm, many in enumerate((ours, units // 20 - ours)):
                n[0][:, arm] += many
                n[1][:, arm] += rng.binomial(many, rate)
            p = n[1] / np.maximum(n[0], 1)
            variance = np.maximum((p * (1 - p) / np.maximum(n[0], 1)).sum(axis=1), 1e-12)
            clock = n[0].sum(axis=1)
            bound = one_sided_radius(variance, clock, mixture_scale(5_000, ALPHA), ALPHA)
            settled = np.minimum(n[1], n[0] - n[1]).min(axis=1) >= 10
            alarms.append(settled & (p[:, 0] - p[:, 1] > bound))
    assert ever(np.array(alarms).T) > 0.9 * runs


@pytest.mark.parametrize("runs", RUNS)
def test_users_that_come_back_count_once_and_counting_their_requests_is_caught(runs: int) -> None:
    rng = np.random.default_rng(22)
    users, requests = 2_000, 20_000
    runs = min(runs, 400)
    first, every = [], []
    for _ in range(runs):
        arm, rate = rng.random(users) < 0.5, rng.beta(0.5, 1.2, users)
        who = rng.integers(0, users, requests)
        answer = rng.random(requests) < rate[who]
        new = np.zeros(requests, dtype=bool)
        new[np.unique(who, return_index=True)[1]] = True
        for rows, alarms in ((new, first), (np.ones(requests, dtype=bool), every)):
            ours, theirs = (np.cumsum(rows & side)[99::100] for side in (arm[who], ~arm[who]))
            k1, k0 = (np.cumsum(rows & side & answer)[99::100] for side in (arm[who], ~arm[who]))
            p1, p0 = k1 / ours, k0 / theirs
            variance = np.maximum(p1 * (1 - p1) / ours + p0 * (1 - p0) / theirs, 1e-12)
            clock = (ours + theirs).astype(float)
            settled = (clock >= 500) & (np.min([k1, ours - k1, k0, theirs - k0], axis=0) >= 10)
            bound = one_sided_radius(variance, clock, mixture_scale(5_000, ALPHA), ALPHA)
            alarms.append(settled & (np.abs(p1 - p0) > bound))
    assert ever(np.array(first)) <= allowed(runs, 2 * ALPHA)
    assert ever(np.array(every)) > 0.2 * runs


def grown(
    rng: np.random.Generator, looks: int, units: int, rates: dict[CellKey, tuple[float, float]]
) -> Iterator[Cells]:
    """Yield counts so far of cells with a share of the units and a rate each."""
    cells = dict.fromkeys(rates, Cell(0, 0.0, 0.0))
    for _ in range(looks):
        for key, (share, rate) in rates.items():
            n = rng.binomial(units // looks, share)
            cells[key] += yes(n, rng.binomial(n, rate))
        yield dict(cells)


@pytest.mark.parametrize("runs", FEW)
def test_three_points_more_are_found_within_twenty_thousand_units(runs: int) -> None:
    guardrail = Guardrail(metric="mean_outcome", margin=0, required=False, harm="increase")
    rng = np.random.default_rng(23)
    rates = {CellKey(0, CHALLENGER, "", ""): (0.5, 0.18), CellKey(0, CONTROL, "", ""): (0.5, 0.15)}
    found = [verdicts(guardrail, grown(rng, 20, 20_000, rates)) for _ in range(runs)]
    assert sum(Verdict.VIOLATED in one for one in found) >= least(runs, 0.95)


@pytest.mark.parametrize("runs", FEW)
@pytest.mark.parametrize("reference", [None, "majority"])
def test_ten_points_less_for_a_minority_are_found_within_twenty_thousand_units(
    reference: str | None, runs: int
) -> None:
    guardrail = Guardrail(metric="dp_diff", margin=0, required=False, attribute="sex", reference=reference)
    rng = np.random.default_rng(24)
    rates = {
        CellKey(0, CHALLENGER, "", "majority"): (0.4, 0.3),
        CellKey(0, CHALLENGER, "", "minority"): (0.1, 0.2),
        CellKey(0, CONTROL, "", "majority"): (0.4, 0.3),
        CellKey(0, CONTROL, "", "minority"): (0.1, 0.3),
    }
    found = [verdicts(guardrail, grown(rng, 20, 20_000, rates)) for _ in range(runs)]
    assert sum(Verdict.VIOLATED in one for one in found) >= least(runs, 0.95)


@pytest.mark.parametrize("runs", FEW)
@pytest.mark.parametrize(("gap", "verdict"), [(0.15, Verdict.VIOLATED), (0.02, Verdict.PASSED)])
def test_a_limit_on_the_gap_of_four_groups_is_decided(gap: float, verdict: Verdict, runs: int) -> None:
    guardrail = Guardrail(metric="dp_diff", margin=0.1, compare="absolute", attribute="race")
    rng = np.random.default_rng(25)
    rates = {
        CellKey(0, CHALLENGER, "", group): (0.25, 0.3 + gap * part)
        for group, part in (("a", 0.0), ("b", 0.4), ("c", 0.6), ("d", 1.0))
    }
    found = [verdicts(guardrail, grown(rng, 20, 40_000, rates)) for _ in range(runs)]
    assert sum(verdict in one for one in found) >= least(runs, 0.95)


def shadow(
    rng: np.random.Generator, looks: int, rows: int, groups: dict[str, tuple[float, float, float]]
) -> Iterator[Cells]:
    """Yield paired counts so far of groups with a share of rows, and chances that one answer alone is a yes."""
    cells = {CellKey(0, PAIRED, "", group): Cell(0, 0.0, 0.0) for group in groups}
    for _ in range(looks):
        for group, (share, plus, minus) in groups.items():
            n = rng.binomial(rows // looks, share)
            more, less, _ = rng.multinomial(n, [plus, minus, 1 - plus - minus])
            cells[CellKey(0, PAIRED, "", group)] += Cell(int(n), float(more - less), float(more + less))
        yield dict(cells)


@pytest.mark.parametrize("runs", FEW)
def test_shadow_pairs_find_one_point_of_accuracy_within_fifteen_thousand_rows(runs: int) -> None:
    guardrail = Guardrail(metric="accuracy", margin=0, required=False)
    rng = np.random.default_rng(26)
    found = [verdicts(guardrail, shadow(rng, 20, 15_000, {"": (1.0, 0.025, 0.035)}), PAIRED) for _ in range(runs)]
    assert sum(Verdict.VIOLATED in one for one in found) >= least(runs, 0.95)


@pytest.mark.parametrize("runs", FEW)
def test_shadow_pairs_of_groups_rarely_accuse_an_equal_version(runs: int) -> None:
    guardrail = Guardrail(metric="dp_diff", margin=0, required=False, attribute="sex", reference="m")
    runs, rng = min(runs, 400), np.random.default_rng(27)
    same = {"m": (0.8, 0.03, 0.03), "w": (0.2, 0.03, 0.03)}
    found = [verdicts(guardrail, shadow(rng, 12, 10_000, same), PAIRED) for _ in range(runs)]
    assert sum(Verdict.VIOLATED in one for one in found) <= allowed(runs, ALPHA)
    worse = {"m": (0.8, 0.03, 0.03), "w": (0.2, 0.01, 0.11)}
    found = [verdicts(guardrail, shadow(rng, 12, 10_000, worse), PAIRED) for _ in range(runs)]
    assert sum(Verdict.VIOLATED in one for one in found) >= least(runs, 0.95)
