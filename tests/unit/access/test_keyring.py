"""What a worker makes of a token: whose it is, or why it is refused, and from when on."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from access.errors import KeyRefusedError, KeysUnavailableError, RateLimitError
from access.key_file import FiledKey, as_bytes, parse_keys
from access.key_store import publish, revoke
from access.keyring import Keyring
from access.scopes import Scope
from access.tokens import new_token

from .conftest import NOW


def test_a_token_is_its_owners_with_its_scopes(keyring: Keyring, new_key: Any) -> None:
    key_id, token = new_key("predict")
    reader_id, reader = new_key("predict", "read")
    admin_id, admin = new_key("admin")
    assert keyring.admit(token).id == key_id
    assert keyring.admit(token).scopes == {Scope.PREDICT}
    assert not keyring.admit(token).sees_variant
    assert (keyring.admit(reader).id, keyring.admit(reader).sees_variant) == (reader_id, True)
    assert (keyring.admit(admin).id, keyring.admit(admin).scopes) == (admin_id, set(Scope))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 80), other=st.integers(0, 255))
def test_a_token_that_differs_in_one_byte_is_refused(file: Path, position: int, other: int) -> None:
    token = new_token()
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(as_bytes([FiledKey(id=token.id, hash=token.hash.hex(), scopes=(Scope.PREDICT,))]))
    keyring = Keyring(file)
    text = bytearray(token.text.encode())
    if text[position] == other:
        assert keyring.admit(bytes(text)).id == token.id
        return
    text[position] = other
    with pytest.raises(KeyRefusedError):
        keyring.admit(bytes(text))


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + b"0", lambda t: b"", lambda t: t[:16] + b"_"])
def test_what_is_shorter_longer_or_nothing_is_refused(keyring: Keyring, new_key: Any, change: Any) -> None:
    _, token = new_key()
    with pytest.raises(KeyRefusedError) as refused:
        keyring.admit(change(token))
    assert token[-64:].decode() not in str(refused.value)


def test_ones_id_with_anothers_secret_is_refused(keyring: Keyring, new_key: Any) -> None:
    (_, first), (_, second) = new_key(), new_key()
    with pytest.raises(KeyRefusedError):
        keyring.admit(first[:17] + second[17:])


def test_a_revoked_key_is_refused_at_the_next_look_and_a_new_one_accepted(
    keyring: Keyring, engine: Engine, file: Path, new_key: Any, clock: Any
) -> None:
    key_id, token = new_key()
    keyring.admit(token)
    revoke(engine, key_id, now=NOW)
    publish(engine, file)
    _, later = new_key()
    clock.pass_by(0.2)
    with pytest.raises(KeyRefusedError, match="no longer"):
        keyring.admit(token)
    keyring.admit(later)


def test_an_expired_key_says_so_to_its_owner_and_to_nobody_else(keyring: Keyring, new_key: Any, clock: Any) -> None:
    _, token = new_key(expires_at=NOW + timedelta(seconds=10))
    clock.pass_by(9.9)
    keyring.admit(token)
    clock.pass_by(0.2)
    with pytest.raises(KeyRefusedError, match="expired"):
        keyring.admit(token)
    with pytest.raises(KeyRefusedError, match="no longer"):
        keyring.admit(token[:-1])


def test_without_a_file_no_token_is_accepted_until_there_is_one(
    keyring: Keyring, file: Path, new_key: Any, clock: Any
) -> None:
    with pytest.raises(KeysUnavailableError):
        keyring.admit(b"fmk_0123456789ab_" + b"f" * 64)
    _, token = new_key()
    clock.pass_by(0.2)
    keyring.admit(token)
    file.unlink()
    clock.pass_by(0.2)
    with pytest.raises(KeysUnavailableError):
        keyring.admit(token)


@pytest.mark.parametrize(
    "damaged",
    [
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: b"[]",
        lambda content: content.replace(b'"predict"', b'"sudo"'),
        lambda content: content.replace(b'"keys"', b'"sesame"'),
    ],
    ids=["cut short", "empty", "another shape", "a scope it does not know", "another name"],
)
def test_a_damaged_file_closes_and_is_told_once_without_its_content(
    keyring: Keyring, file: Path, new_key: Any, clock: Any, caplog: pytest.LogCaptureFixture, damaged: Any
) -> None:
    key_id, token = new_key()
    keyring.admit(token)
    good = file.read_bytes()
    file.write_bytes(damaged(good))
    for _ in range(3):
        clock.pass_by(0.2)
        with pytest.raises(KeysUnavailableError):
            keyring.admit(token)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "damaged" in line
    assert key_id not in line
    file.write_bytes(good)
    clock.pass_by(0.2)
    keyring.admit(token)


def test_a_key_comes_as_often_as_it_may_and_each_worker_allows_its_share(
    file: Path, new_key: Any, clock: Any
) -> None:
    key_id, token = new_key(rate=4.0)
    _, other = new_key()
    workers = [Keyring(file, workers=2, wall=clock, clock=clock) for _ in range(2)]
    for worker in workers:
        worker.admit(token)
        worker.admit(token)
        with pytest.raises(RateLimitError, match=f"key {key_id} may send 4 requests per second") as limited:
            worker.admit(token)
        assert limited.value.retry_after == pytest.approx(0.5)
        worker.admit(other)
    clock.pass_by(0.5)
    for worker in workers:
        worker.admit(token)


def test_what_was_used_of_a_rate_stays_used_when_other_keys_change(
    keyring: Keyring, new_key: Any, clock: Any
) -> None:
    _, token = new_key(rate=0.5)
    keyring.admit(token)
    new_key()
    clock.pass_by(0.2)
    with pytest.raises(RateLimitError):
        keyring.admit(token)


scopes = st.lists(st.sampled_from(Scope), min_size=1, unique=True).map(tuple)
filed = st.builds(
    FiledKey,
    id=st.text("0123456789abcdef", min_size=12, max_size=12),
    hash=st.binary(min_size=32, max_size=32).map(bytes.hex),
    scopes=scopes,
    expires_at=st.none() | st.floats(0, 1e11),
    requests_per_second=st.none() | st.floats(0.001, 1e6),
)


@given(st.lists(filed, unique_by=lambda key: key.id))
def test_the_file_gives_back_the_keys_that_were_written_in_whatever_order(keys: list[FiledKey]) -> None:
    assert set(parse_keys(as_bytes(keys))) == set(keys)
    assert as_bytes(keys) == as_bytes(keys[::-1])


def test_a_file_that_holds_one_bad_key_is_damaged() -> None:
    key = FiledKey(id="a", hash="0" * 64, scopes=(Scope.READ,))
    with pytest.raises(ValueError, match="hash") as refused:
        parse_keys(as_bytes([key]).replace(b"0" * 64, b"secret"))
    assert "secret" not in str(refused.value)
