"""A lease in the database: of all who would act one does, and who was overtaken notices before it writes.

Every change of the holder raises the fence. Who acts checks holder and fence in the very transaction that it
writes in, of which there is one at a time: so a clock that is wrong, or a process that slept, may move the lease,
and never lets two act.
"""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, insert, select, update

from rollout.errors import LeaseLostError
from rollout.tables import LEASE


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that is held: whose, and under which fence."""

    name: str
    holder: str
    fence: int


def acquire(engine: Engine, name: str, holder: str, now: datetime, lasting: timedelta) -> Held | None:
    """Take the lease, or renew it where it is the holder's; None while somebody else has it."""
    with engine.begin() as connection:
        row = connection.execute(select(LEASE).where(LEASE.c.name == name)).first()
        if row is None:
            first = {"name": name, "holder": holder, "fence": 1, "expires_at": now + lasting}
            connection.execute(insert(LEASE), first)
            return Held(name, holder, 1)
        if row.holder != holder and row.expires_at > now:
            return None
        fence = row.fence if row.holder == holder else row.fence + 1
        taken = {"holder": holder, "fence": fence, "expires_at": now + lasting}
        connection.execute(update(LEASE).where(LEASE.c.name == name).values(**taken))
        return Held(name, holder, fence)


def check(connection: Connection, held: Held) -> None:
    """Refuse to go on in a transaction where somebody else has taken the lease.

    Raises:
        LeaseLostError: Somebody has.
    """
    found = connection.execute(
        select(LEASE.c.name).where(
            LEASE.c.name == held.name, LEASE.c.holder == held.holder, LEASE.c.fence == held.fence
        )
    ).first()
    if found is None:
        raise LeaseLostError(held.name)


def release(engine: Engine, held: Held, now: datetime) -> None:
    """Let the next one have the lease at once."""
    with engine.begin() as connection:
        connection.execute(
            update(LEASE)
            .where(LEASE.c.name == held.name, LEASE.c.holder == held.holder, LEASE.c.fence == held.fence)
            .values(expires_at=now)
        )


def process_name() -> str:
    """Return a name that no other process has, here or on another host."""
    return f"{socket.gethostname()[:60]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
