"""Keys in the control database: made, listed, revoked, and published to the workers."""

from __future__ import annotations

import fcntl
import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, Row, insert, select, update

from access.errors import InvalidKeyError, KeyNotFoundError
from access.key_file import FiledKey, as_bytes, replace_file
from access.scopes import Scope
from access.tables import API_KEY
from access.tokens import Token, as_id, new_token
from database.engine import reading

_LONGEST_NAME: Final = 100


@dataclass(frozen=True, slots=True)
class Key:
    """A key as its deployment knows it, which is without its secret.

    `requests_per_second` is None where it is not bounded, `expires_at` where it does not expire.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    requests_per_second: float | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def state(self, now: datetime) -> str:
        """Return `live`, `revoked` or `expired`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "live"

    def to_dict(self, now: datetime) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state(now),
            "scopes": [str(scope) for scope in self.scopes],
            "requests_per_second": self.requests_per_second,
            "created_by": self.created_by,
            "created_at": self.created_at.isoformat(),
            "expires_at": self.expires_at and self.expires_at.isoformat(),
            "revoked_at": self.revoked_at and self.revoked_at.isoformat(),
        }


def create(
    engine: Engine,
    name: str,
    scopes: Collection[str],
    *,
    actor: str,
    now: datetime,
    requests_per_second: float | None = None,
    expires_at: datetime | None = None,
) -> tuple[Key, Token]:
    """Make a key; the token is returned here and nowhere else, for only its hash is kept.

    Raises:
        InvalidKeyError: The name, a scope, the rate or the time of expiry is none.
    """
    if not 0 < len(name.strip()) <= _LONGEST_NAME or not name.isprintable():
        raise InvalidKeyError(f"a key's name has 1 to {_LONGEST_NAME} printable characters")
    if requests_per_second is not None and not 0 < requests_per_second < math.inf:
        raise InvalidKeyError("the requests per second must be more than 0")
    if expires_at is not None and expires_at <= now:
        raise InvalidKeyError("the key would have expired already")
    token = new_token()
    key = Key(token.id, name.strip(), _parsed(scopes), requests_per_second, actor, now, expires_at, revoked_at=None)
    values = {
        "id": key.id,
        "name": key.name,
        "scopes": [str(scope) for scope in key.scopes],
        "hash": token.hash.hex(),
        "requests_per_second": requests_per_second,
        "created_by": actor,
        "created_at": now,
        "expires_at": expires_at,
    }
    with engine.begin() as connection:
        connection.execute(insert(API_KEY), values)
    return key, token


def keys(engine: Engine) -> list[Key]:
    """Return all keys there ever were, newest first."""
    with reading(engine) as connection:
        rows = connection.execute(select(API_KEY).order_by(API_KEY.c.created_at.desc(), API_KEY.c.id))
        return [_key(row) for row in rows]


def has_live_key(engine: Engine, now: datetime) -> bool:
    """Return whether any key could be used now."""
    return any(key.state(now) == "live" for key in keys(engine))


def revoke(engine: Engine, key_id: str, *, now: datetime) -> Key:
    """Take a key back for good; one that was taken back before stays as it is. A whole token is taken for its id.

    Raises:
        KeyNotFoundError: There is no such key.
    """
    found = as_id(key_id)
    is_it = API_KEY.c.id == found
    with engine.begin() as connection:
        connection.execute(update(API_KEY).where(is_it, API_KEY.c.revoked_at.is_(None)).values(revoked_at=now))
        row = connection.execute(select(API_KEY).where(is_it)).first()
    if row is None:
        raise KeyNotFoundError(found)
    return _key(row)


def publish(engine: Engine, path: Path) -> None:
    """Bring the file that workers follow to what the database says; written only where it says something else."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # read under the lock: nobody writes what was true before another's change
        content = as_bytes(_filed(engine))
        try:
            is_current = path.read_bytes() == content
        except OSError:
            is_current = False
        if not is_current:
            replace_file(path, content)


def _filed(engine: Engine) -> list[FiledKey]:
    with reading(engine) as connection:
        rows = connection.execute(select(API_KEY).where(API_KEY.c.revoked_at.is_(None)))
        return [
            FiledKey(
                id=row.id,
                hash=row.hash,
                scopes=row.scopes,
                expires_at=None if row.expires_at is None else row.expires_at.timestamp(),
                requests_per_second=row.requests_per_second,
            )
            for row in rows
        ]


def _parsed(scopes: Collection[str]) -> tuple[Scope, ...]:
    known = {str(scope) for scope in Scope}
    unknown = sorted(set(scopes) - known)
    if unknown or not scopes:
        told = f"there is no scope '{unknown[0]}'" if unknown else "a key needs a scope"
        raise InvalidKeyError(f"{told}; there are {', '.join(Scope)}")
    return tuple(scope for scope in Scope if scope in set(scopes))


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        scopes=tuple(Scope(scope) for scope in row.scopes),
        requests_per_second=row.requests_per_second,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
