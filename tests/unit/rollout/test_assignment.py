"""Assignment: deterministic, uniform, sticky, monotone, independent; and a method that is not, as a control."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import subprocess
import sys
import unicodedata
import uuid
from bisect import bisect_right
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rollout.assignment import (
    CHALLENGERS,
    MAX_WEIGHT_BP,
    Cohort,
    canary_layout,
    cohort,
    cohort_in,
    digest_of,
    edges_of,
    hash_prefix,
    hash_unit,
    place_of,
    soak_layout,
    threshold,
)

GOLDEN = {
    "alice": 0xE3967CA3013B088E,
    "user-1": 0x757881CD4803D1B0,
    "héllo": 0x30F23674A5FC99E,
    "": 0x56C54F997C6F92EE,
}
SHADOW_GOLDEN = {
    "alice": 0x5E993137B693EBDF,
    "user-1": 0x3033BB3BB0224700,
    "héllo": 0x9B57D90FEDBC737B,
    "": 0x59FD54B0E41D9A47,
}
THIRD = 2**64 // 3
N = 200_000
CORPORA = {
    "sequential": [str(i) for i in range(N)],
    "uuids": [str(uuid.UUID(int=int.from_bytes(hashlib.md5(str(i).encode()).digest()))) for i in range(N)],
    "e-mails": [f"person.{i * 7919}@mail{i % 13}.example" for i in range(N)],
}
weights = st.integers(0, MAX_WEIGHT_BP)
places = st.integers(0, 2**64 - 1)


def test_golden_vectors_hold() -> None:
    assert {unit: hash_unit("r-001", unit) for unit in GOLDEN} == GOLDEN
    assert {unit: hash_unit("r-001", unit, "shadow") for unit in SHADOW_GOLDEN} == SHADOW_GOLDEN
    for namespace, golden in (("arm", GOLDEN), ("shadow", SHADOW_GOLDEN)):
        for unit, place in golden.items():
            text = "\x1f".join(["v1", namespace, "r-001", unicodedata.normalize("NFC", unit)])
            assert int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) == place


def test_golden_layouts_hold() -> None:
    assert canary_layout([1_000]) == (
        (0, 1844674407370955161, "challenger"),
        (2**63, 2**63 + 1844674407370955161, "control"),
    )
    assert canary_layout([1_000, 2_500]) == (
        (0, 1844674407370955161, "challenger"),
        (THIRD, THIRD + 2**62, "challenger-2"),
        (2 * 2**64 // 3, 2 * 2**64 // 3 + 2**62, "control"),
    )
    assert soak_layout(500) == (
        (0, 2**63 - 922337203685477580, "challenger_only"),
        (2**63 - 922337203685477580, 2**63, "challenger"),
        (2**63, 2**64 - 922337203685477580, "challenger_only"),
        (2**64 - 922337203685477580, 2**64, "control"),
    )


@pytest.mark.parametrize("seed", ["0", "1234"])
def test_another_process_with_another_hash_seed_agrees(seed: str) -> None:
    code = "from rollout.assignment import hash_unit; print(hash_unit('r-001', 'alice'))"
    environment = os.environ | {"PYTHONHASHSEED": seed}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert int(answer.stdout) == GOLDEN["alice"]


@pytest.mark.parametrize("corpus", CORPORA)
def test_units_are_spread_evenly_and_weights_are_kept(corpus: str) -> None:
    found = np.array([hash_unit("r-001", unit) for unit in CORPORA[corpus]], dtype=np.uint64)
    buckets = np.bincount((found >> np.uint64(54)).astype(int), minlength=1024)
    assert stats.chisquare(buckets).pvalue > 1e-4
    for weight in (1, 100, 500, 1000, 5000):
        share = float((found < threshold(weight)).mean())
        expected = weight / 10_000
        assert abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / N)


def test_a_linear_rendezvous_would_fail_that_test() -> None:
    """Weight times hash, highest wins: 10 % of the weight gets 5.5 % of the traffic."""
    units = CORPORA["sequential"][:20_000]
    wins = sum(0.1 * hash_unit("a", unit) > 0.9 * hash_unit("b", unit) for unit in units)
    assert abs(wins / len(units) - 0.1) > 4 * math.sqrt(0.09 / len(units))


def test_what_a_unit_is_assigned_to_says_nothing_of_whether_it_is_sampled_for_a_shadow() -> None:
    units = CORPORA["sequential"][:50_000]
    arm = np.array([hash_unit("r-001", unit) < threshold(3000) for unit in units])
    shadow = np.array([hash_unit("r-001", unit, "shadow") < threshold(3000) for unit in units])
    counts = [[(arm & shadow).sum(), (arm & ~shadow).sum()], [(~arm & shadow).sum(), (~arm & ~shadow).sum()]]
    assert stats.chi2_contingency(counts).pvalue > 1e-4


@st.composite
def ramps(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Weights of one to nine challengers before and after they were raised."""
    challengers = draw(st.integers(1, 9))
    shares = st.integers(0, 10_000 // (challengers + 1))
    pairs = draw(st.lists(st.tuples(shares, shares), min_size=challengers, max_size=challengers))
    return [min(pair) for pair in pairs], [max(pair) for pair in pairs]


@given(places, ramps())
def test_of_any_number_of_challengers_raising_weights_takes_nobody_away(
    place: int, ramp: tuple[list[int], list[int]]
) -> None:
    before, after = (cohort_in(canary_layout(weights), place) for weights in ramp)
    if before is not Cohort.CHAMPION_ONLY:
        assert after is before


@given(ramps())
def test_each_challenger_has_its_share_and_the_control_that_of_the_largest(ramp: tuple[list[int], Any]) -> None:
    layout = canary_layout(ramp[0])
    widths = {span.cohort: span.end - span.begin for span in layout}
    expected = {of: threshold(weight) for of, weight in zip(CHALLENGERS, ramp[0], strict=False) if weight}
    assert widths == expected | ({Cohort.CONTROL: threshold(max(ramp[0]))} if max(ramp[0]) else {})
    ordered = sorted(layout)
    assert all(one.end <= following.begin for one, following in itertools.pairwise(ordered))
    assert all(0 <= span.begin < span.end <= 2**64 for span in layout)
    for span in layout:
        assert cohort_in(layout, span.begin) is cohort_in(layout, span.end - 1) is span.cohort


@given(places, weights, st.integers(1, 5_000))
def test_in_a_soak_nobody_leaves_the_challenger_and_only_the_holdback_stays_in_the_control(
    place: int, weight: int, holdback: int
) -> None:
    before, after = cohort(place, weight), cohort_in(soak_layout(holdback), place)
    held, half = threshold(holdback), 2**63
    if place >= 2**64 - held:
        assert after is Cohort.CONTROL
        mirror = place - half  # with the same history: compared before exactly where the place in the holdback was
        assert cohort_in(soak_layout(holdback), mirror) is Cohort.CHALLENGER
        assert (before is Cohort.CONTROL) == (cohort(mirror, weight) is Cohort.CHALLENGER)
    else:
        assert after is (Cohort.CHALLENGER if half - held <= place < half else Cohort.CHALLENGER_ONLY)


def test_shares_that_do_not_fit_are_refused() -> None:
    for weights_bp in ([5_001], [3_334, 0], [-1], [0] * 10):
        with pytest.raises(ValueError, match="at most 9 challengers has a share of 0 to 1/"):
            canary_layout(weights_bp)
    for holdback in (-1, 5_001):
        with pytest.raises(ValueError, match="holdback"):
            soak_layout(holdback)
    assert (canary_layout([0, 0]), canary_layout([])) == ((), ())


def layouts() -> st.SearchStrategy[Any]:
    of_canaries = ramps().map(lambda ramp: canary_layout(ramp[0]))
    return of_canaries | st.integers(0, MAX_WEIGHT_BP).map(soak_layout)


@given(layouts(), places)
def test_a_digest_looked_up_among_edges_is_in_the_cohort_of_its_place(layout: Any, place: int) -> None:
    edges, cohorts = edges_of(layout)
    near = {span.begin for span in layout} | {span.end for span in layout} | {place}
    for one in {min(max(0, at + offset), 2**64 - 1) for at in near for offset in (-1, 0, 1)}:
        for rest in (b"", bytes(24), b"\xff" * 24):
            digest = one.to_bytes(8, "big") + rest
            assert cohorts[bisect_right(edges, digest)] is cohort_in(layout, one)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_the_place_of_a_unit_is_how_its_digest_begins(unit: str) -> None:
    prefix = hash_prefix("s")
    assert place_of(prefix, unit).to_bytes(8, "big") == digest_of(prefix, unit)[:8]


@given(places, weights, weights)
def test_raising_a_weight_takes_nobody_away_and_swaps_nobody(place: int, one: int, other: int) -> None:
    low, high = sorted((one, other))
    before, after = cohort(place, low), cohort(place, high)
    if before is not Cohort.CHAMPION_ONLY:
        assert after is before


@given(places)
def test_no_weight_means_champion_and_half_means_everybody_is_compared(place: int) -> None:
    assert cohort(place, 0) is Cohort.CHAMPION_ONLY
    assert cohort(place, MAX_WEIGHT_BP) is not Cohort.CHAMPION_ONLY


@pytest.mark.parametrize("weight", [1, 777, MAX_WEIGHT_BP])
def test_challenger_and_control_have_the_same_width_and_do_not_overlap(weight: int) -> None:
    width, half = threshold(weight), 2**63
    assert cohort(width - 1, weight) is Cohort.CHALLENGER
    assert cohort(half, weight) is cohort(half + width - 1, weight) is Cohort.CONTROL
    assert cohort(width, weight) is (Cohort.CONTROL if weight == MAX_WEIGHT_BP else Cohort.CHAMPION_ONLY)


def test_two_salts_assign_independently() -> None:
    units = CORPORA["sequential"][:50_000]
    one = np.array([hash_unit("r-001", unit) < threshold(3000) for unit in units])
    two = np.array([hash_unit("r-002", unit) < threshold(3000) for unit in units])
    counts = [[(one & two).sum(), (one & ~two).sum()], [(~one & two).sum(), (~one & ~two).sum()]]
    assert stats.chi2_contingency(counts).pvalue > 1e-4


@given(st.text())
def test_composed_and_decomposed_spellings_are_one_unit(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert hash_unit("s", unicodedata.normalize("NFD", text)) == hash_unit("s", unicodedata.normalize("NFC", text))
