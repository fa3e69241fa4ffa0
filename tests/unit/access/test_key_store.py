"""Keys in the database: what is kept, what is refused, and what of it reaches the workers."""

from __future__ import annotations

import json
import math
import stat
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from access.errors import InvalidKeyError, KeyNotFoundError
from access.key_file import parse_keys
from access.key_store import create, has_live_key, keys, publish, revoke
from access.scopes import Scope, granted

from .conftest import NOW


def test_the_database_and_the_file_hold_no_secret(engine: Engine, file: Path, new_key: Any) -> None:
    _, token = new_key("predict", "read")
    secret = token[-64:]
    with engine.connect() as connection:
        assert secret.decode() not in str(connection.execute(text("SELECT * FROM api_key")).all())
    assert secret not in file.read_bytes()


def test_a_key_is_kept_as_it_was_made(engine: Engine) -> None:
    later = NOW + timedelta(days=30)
    key, token = create(
        engine, " ci ", ["read", "predict"], actor="me", now=NOW, requests_per_second=2.5, expires_at=later
    )
    assert keys(engine) == [key]
    assert (key.id, key.name, key.scopes) == (token.id, "ci", (Scope.PREDICT, Scope.READ))
    assert key.to_dict(NOW) == {
        "id": token.id,
        "name": "ci",
        "state": "live",
        "scopes": ["predict", "read"],
        "requests_per_second": 2.5,
        "created_by": "me",
        "created_at": NOW.isoformat(),
        "expires_at": later.isoformat(),
        "revoked_at": None,
    }
    assert key.to_dict(later)["state"] == "expired"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scopes": ["predict", "sudo"]}, "no scope 'sudo'; there are predict, outcome"),
        ({"scopes": []}, "needs a scope"),
        ({"name": " "}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"requests_per_second": 0.0}, "more than 0"),
        ({"requests_per_second": math.nan}, "more than 0"),
        ({"requests_per_second": math.inf}, "more than 0"),
        ({"expires_at": NOW}, "expired already"),
    ],
)
def test_what_no_key_can_have_is_refused(engine: Engine, change: dict[str, Any], told: str) -> None:
    values: dict[str, Any] = {"name": "ci", "scopes": ["predict"]} | change
    with pytest.raises(InvalidKeyError, match=told):
        create(engine, actor="me", now=NOW, **values)
    assert keys(engine) == []


def test_a_revoked_key_leaves_the_file_and_stays_in_the_list(engine: Engine, file: Path, new_key: Any) -> None:
    first, _ = new_key()
    second, token = new_key()
    revoked = revoke(engine, token.decode(), now=NOW)  # whoever found a token need not take it apart
    publish(engine, file)
    assert (revoked.id, revoked.state(NOW)) == (second, "revoked")
    assert [key.id for key in parse_keys(file.read_bytes())] == [first]
    assert {key.id: key.state(NOW) for key in keys(engine)} == {first: "live", second: "revoked"}
    later = revoke(engine, second, now=NOW + timedelta(days=1))
    assert later.revoked_at == NOW


def test_a_key_that_is_not_there_cannot_be_revoked_and_no_secret_is_repeated(engine: Engine) -> None:
    with pytest.raises(KeyNotFoundError, match="no key '0123456789ab'; `fairmind keys list`"):
        revoke(engine, "fmk_0123456789ab_" + "f" * 64, now=NOW)


def test_only_a_key_that_can_be_used_counts_as_one(engine: Engine, new_key: Any) -> None:
    assert not has_live_key(engine, NOW)
    key_id, _ = new_key(expires_at=NOW + timedelta(days=1))
    assert has_live_key(engine, NOW)
    assert not has_live_key(engine, NOW + timedelta(days=1))
    other, _ = new_key()
    assert has_live_key(engine, NOW + timedelta(days=1))
    revoke(engine, other, now=NOW)
    assert not has_live_key(engine, NOW + timedelta(days=1))
    revoke(engine, key_id, now=NOW)
    assert not has_live_key(engine, NOW)


def test_the_file_is_for_its_owner_only_and_is_written_when_something_changed(
    engine: Engine, file: Path, new_key: Any
) -> None:
    publish(engine, file)
    assert json.loads(file.read_bytes()) == {"keys": []}
    new_key()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.stat().st_ino, file.stat().st_mtime_ns
    publish(engine, file)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == before
    file.write_text("damaged")
    publish(engine, file)
    assert len(parse_keys(file.read_bytes())) == 1
    assert [path.name for path in file.parent.iterdir() if path.suffix == ".tmp"] == []


def test_whoever_publishes_last_publishes_what_is_true(engine: Engine, file: Path) -> None:
    def change() -> None:
        for _ in range(5):
            key, _ = create(engine, "ci", ["predict"], actor="me", now=NOW)
            publish(engine, file)
            revoke(engine, key.id, now=NOW)
            publish(engine, file)

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys(engine)) == 20
    assert parse_keys(file.read_bytes()) == ()


def test_admin_is_every_scope_and_no_other_is_more_than_itself() -> None:
    assert granted([Scope.ADMIN]) == set(Scope)
    assert all(granted([scope]) == {scope} for scope in Scope if scope is not Scope.ADMIN)
