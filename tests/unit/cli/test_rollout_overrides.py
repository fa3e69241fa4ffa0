"""`fairmind rollout sign`: what it prints is what a worker takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from click.testing import Result

from cli.failures import BAD_INPUT, exit_status
from rollout.overrides import check

Command = Callable[..., Result]
Answer = Callable[[Sequence[str]], Any]
SECRET = "a secret of some length"


@pytest.fixture
def secret(home: object, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FAIRMIND_BENTOS_OVERRIDE_SECRET", SECRET)
    return SECRET


@pytest.mark.parametrize("variant", ["champion", "challenger", "challenger-9"])
def test_what_is_signed_is_taken_for_as_long_as_was_asked(answer: Answer, secret: str, variant: str) -> None:
    signed = answer(["rollout", "sign", "credit", variant, "--for", "10m"])
    now = time.time()
    assert signed["header"] == "X-Fairmind-Override"
    assert check(secret, "credit", signed["override"], now + 500) == variant
    assert 590 < int(signed["override"].split(";")[1]) - now <= 600


def test_people_get_the_header_on_one_line_and_an_hour(fairmind: Command, secret: str) -> None:
    header, _, override = fairmind("rollout", "sign", "credit", "challenger").output.strip().partition(": ")
    assert header == "X-Fairmind-Override"
    assert check(secret, "credit", override, time.time() + 3_500) == "challenger"


def test_without_the_secret_the_refusal_names_the_variable(fairmind: Command) -> None:
    error = fairmind("rollout", "sign", "credit", "challenger").exception
    assert error is not None
    assert "FAIRMIND_BENTOS_OVERRIDE_SECRET" in str(error)
    assert exit_status(error) == BAD_INPUT


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["control"], "is no variant"),
        (["challenger-1"], "is no variant"),
        (["challenger", "--for", "2d"], "from 1s to 24h"),
        (["challenger", "--for", "soon"], "from 1s to 24h"),
        (["challenger", "--for", "nan"], "from 1s to 24h"),
    ],
)
def test_what_no_worker_would_take_is_not_signed(
    fairmind: Command, secret: str, arguments: list[str], told: str
) -> None:
    assert told in str(fairmind("rollout", "sign", "credit", *arguments).exception)
