"""How often a replay calls two equal versions unequal although it is repeated while the log grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from replay.judging import judge_pairs, plan_of
from replay.pairs import ALL, Alike, Pairs
from rollout.guardrail import Guardrail, Verdict
from rollout.plan import Plan
from tests.statistics.streams import allowed

ALPHA = 0.05
LOOKS = np.unique(np.geomspace(200, 20_000, 8).astype(int))
WOMEN = 0.3
CHANGED = 0.06
GUARDRAILS: tuple[dict[str, Any], ...] = (
    {"metric": "selection_rate"},
    {"metric": "accuracy"},
    {"metric": "dp_diff", "attribute": "sex", "reference": "m"},
)


def plan(margin: float, *of: dict[str, Any]) -> Plan:
    guardrails = [Guardrail(margin=margin, required=margin > 0, **one) for one in of or GUARDRAILS]
    return plan_of(None, model="credit", guardrails=guardrails, alpha_rollback=ALPHA, alpha_promote=ALPHA)


def growing(rng: np.random.Generator, harm: float = 0.0) -> Iterator[Pairs]:
    """Yield a log at each look: half are granted, as many as change one way change the other way.

    `harm` is the share of women who are refused beside that, whatever comes true.
    """
    kinds = list(product((0, 1), repeat=3))  # logged, other, outcome
    counts = {"m": Counter[Alike](), "f": Counter[Alike]()}
    pairs = Pairs()
    pairs.labels.codes([0, 1])
    seen = 0
    for look in LOOKS:
        for group, share in (("m", 1 - WOMEN), ("f", WOMEN)):
            lost = harm if group == "f" else 0.0
            chances = [_chance(*kind, lost) for kind in kinds]
            drawn = rng.multinomial(round(share * (look - seen)), chances)
            for (logged, other, outcome), rows in zip(kinds, drawn.tolist(), strict=True):
                counts[group][Alike(True, logged, other, outcome)] += rows
        seen = look
        pairs.counts[ALL] = counts["m"] + counts["f"]
        for group, found in counts.items():
            pairs.counts["sex", group] = +found
        yield pairs


def _chance(logged: int, other: int, outcome: int, lost: float) -> float:
    """Return how often that comes together: where both decide alike 7 of 10 are right, else one of the two is."""
    change = CHANGED + 2 * lost * logged  # of women, half of whom are granted
    if logged != other:
        return 0.5 * change * 0.5
    return 0.5 * (1 - change) * (0.7 if outcome == logged else 0.3)


def naive(pairs: Pairs) -> bool:
    """Return whether any of four one-sided tests made for one look finds a difference at 5 %."""
    found = []
    for group, sign in ((ALL, 1), (("sex", "f"), 1), (("sex", "m"), 1), (ALL, -1)):
        counts = pairs.counts[group]
        n = counts.total()
        down = sum(rows for alike, rows in counts.items() if alike.against > alike.challenger)
        up = sum(rows for alike, rows in counts.items() if alike.against < alike.challenger)
        found.append(sign * (down - up) / np.sqrt(max(down + up, 1)) > 1.645 and n > 0)
    return any(found)


@pytest.mark.parametrize("runs", [8, pytest.param(150, marks=pytest.mark.long)])
def test_replays_of_an_equal_version_seldom_find_harm_and_naive_tests_do(runs: int) -> None:
    rng = np.random.default_rng([32, runs])
    alarms = fooled = 0
    for _ in range(runs):
        alarmed = was_fooled = False
        for pairs in growing(rng):
            was_fooled |= naive(pairs)
            alarmed = alarmed or judge_pairs(plan(0.0), pairs).overall is Verdict.VIOLATED
        alarms += alarmed
        fooled += was_fooled
    assert alarms <= allowed(runs, ALPHA)
    assert fooled > 0.2 * runs


@pytest.mark.long
def test_harm_of_just_the_margin_seldom_passes_or_is_violated_and_more_is_found() -> None:
    runs, margin = 60, 0.05
    rng = np.random.default_rng(33)
    ends: dict[float, Counter[Verdict]] = {margin: Counter(), 3 * margin: Counter()}
    for harm, found in ends.items():
        for _ in range(runs):
            seen = set()
            for pairs in growing(rng, harm):
                seen.add(judge_pairs(plan(margin, GUARDRAILS[2]), pairs).overall)
            found.update(seen)
    at_the_margin, beyond = ends.values()
    for verdict in (Verdict.VIOLATED, Verdict.PASSED):
        assert at_the_margin[verdict] <= allowed(runs, ALPHA), verdict
    assert beyond[Verdict.VIOLATED] >= 0.95 * runs
