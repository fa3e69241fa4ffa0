"""Overrides: what is signed holds for a while, and for nothing else."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.errors import OverrideRefusedError
from rollout.overrides import LONGEST_SECONDS, check, sign

SECRET = "a secret of some length"
NOW = 1_700_000_000.5


def test_a_golden_vector_holds() -> None:
    signed = "fairmind-override-v1\x1fchallenger\x1f1700000000\x1fcredit"
    digest = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
    assert sign(SECRET, "credit", "challenger", 1_700_000_000) == f"challenger;1700000000;{digest}"


@given(
    st.text(min_size=1),
    st.sampled_from(["champion", "challenger", "challenger-2"]),
    st.integers(1, LONGEST_SECONDS),
)
def test_what_was_signed_is_taken_for_that_model_until_it_expires(model: str, variant: str, seconds: int) -> None:
    try:
        model.encode()
    except UnicodeEncodeError:
        return
    expires = int(NOW) + seconds
    override = sign(SECRET, model, variant, expires)
    assert check(SECRET, model, override, NOW) == variant
    assert check(SECRET, model, override, expires - 0.01) == variant
    with pytest.raises(OverrideRefusedError, match="expired"):
        check(SECRET, model, override, expires)
    with pytest.raises(OverrideRefusedError, match="signature"):
        check(SECRET, f"{model}x", override, NOW)
    with pytest.raises(OverrideRefusedError, match="signature"):
        check(f"{SECRET}!", model, override, NOW)


def test_whatever_is_changed_no_longer_fits_the_signature() -> None:
    variant, expires, signature = sign(SECRET, "credit", "champion", int(NOW) + 60).split(";")
    for changed in (
        f"challenger;{expires};{signature}",
        f"{variant};{int(expires) + 1};{signature}",
        f"{variant};{expires};{signature[:-1]}{'0' if signature[-1] != '0' else '1'}",
    ):
        with pytest.raises(OverrideRefusedError, match="signature"):
            check(SECRET, "credit", changed, NOW)


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "challenger",
        "challenger;1700000060",
        "challenger;soon;" + "a" * 64,
        "challenger;1700000060;é",
        "a;1;" * 99,
    ],
)
def test_another_form_is_refused_and_named(malformed: str) -> None:
    with pytest.raises(OverrideRefusedError, match="its form is"):
        check(SECRET, "credit", malformed, NOW)


def test_nothing_is_signed_for_longer_than_a_day_nor_without_a_secret() -> None:
    override = sign(SECRET, "credit", "challenger", int(NOW) + LONGEST_SECONDS + 1)
    with pytest.raises(OverrideRefusedError, match="more than a day ahead"):
        check(SECRET, "credit", override, NOW)
    with pytest.raises(OverrideRefusedError, match="FAIRMIND_BENTOS_OVERRIDE_SECRET is unset"):
        check(None, "credit", override, NOW)
