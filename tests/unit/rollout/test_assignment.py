"""Assignment: deterministic, uniform, sticky, monotone, independent; and a method that is not, as a control."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
import unicodedata
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rollout.assignment import MAX_WEIGHT_BP, Cohort, cohort, hash_unit, threshold

GOLDEN = {
    "alice": 0xE3967CA3013B088E,
    "user-1": 0x757881CD4803D1B0,
    "héllo": 0x30F23674A5FC99E,
    "": 0x56C54F997C6F92EE,
}
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
