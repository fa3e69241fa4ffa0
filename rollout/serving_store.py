"""The serving state in the database: read by the Companion, written by rollouts or, without one, from aliases."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, insert, select, update

from database.engine import insert_or_ignore, reading
from registry.reference import CHALLENGER, CHAMPION
from registry.versions import ModelVersion
from rollout.errors import RolloutConflictError
from rollout.history import Action, change
from rollout.serving_state import ServedVersion, ServingState, WeightedVersion
from rollout.tables import DEPLOYMENT_SALT, ROLLOUT, SERVING_STATE

NO_ROLLOUT: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "weight_bp": 0,
        "rollout_id": None,
        "others": None,
        "shadow_bp": 0,
        "holdback_bp": None,
        "on_missing_key": "champion",
    }
)
"""What a serving state says of its split where no rollout decides."""

_FOLLOWER: Final = "companion"
"""Who pauses a rollout when nobody asked for it."""


def serving_states(engine: Engine) -> dict[str, ServingState]:
    """Return what every served model serves with, by model."""
    with reading(engine) as connection:
        rows = connection.execute(select(SERVING_STATE).where(SERVING_STATE.c.champion_version.is_not(None)))
        return {row.model: _state(row) for row in rows}


def serving_epochs(engine: Engine) -> dict[str, int]:
    """Return the epoch of every model that was ever served."""
    with reading(engine) as connection:
        return {row.model: row.epoch for row in connection.execute(select(SERVING_STATE))}


def deployment_salt(engine: Engine) -> str:
    """Return the salt under which unit ids are hashed before they are logged; made on first use, kept for ever."""
    with engine.begin() as connection:
        connection.execute(insert_or_ignore(engine, DEPLOYMENT_SALT), {"id": 1, "salt": secrets.token_hex(16)})
        return str(connection.execute(select(DEPLOYMENT_SALT.c.salt)).scalar_one())


def follow_aliases(
    engine: Engine, aliased: Sequence[ModelVersion], now: datetime, *, seen: Mapping[str, int]
) -> list[str]:
    """Bring the serving state to what the registry's aliases say; return the models that changed.

    A model is served when a version has the alias `champion`. Models with an active rollout are left as they are:
    an alias moved by hand pauses the rollout and changes nothing served.

    `seen` are the epochs (`serving_epochs`) from before the aliases were read. A model whose epoch moved since is
    left to the next look: the aliases may be older than what moved it.
    """
    champions = {version.name: version for version in aliased if CHAMPION in version.aliases}
    challengers = {version.name: version for version in aliased if CHALLENGER in version.aliases}
    changed = []
    with engine.begin() as connection:
        current = {row.model: row for row in connection.execute(select(SERVING_STATE))}
        for name in sorted(champions.keys() | current.keys()):
            row, champion = current.get(name), champions.get(name)
            if (row.epoch if row is not None else None) != seen.get(name):
                continue
            if row is not None and row.rollout_id is not None:
                if champion is None or row.champion_version != champion.version:
                    _pause_for_moved_alias(connection, row.rollout_id, now)
                continue
            challenger = challengers.get(name) if champion is not None else None
            if challenger is not None and champion is not None and challenger.version == champion.version:
                challenger = None
            values = {
                "champion_version": champion.version if champion else None,
                "champion_digest": champion.digest if champion else None,
                "challenger_version": challenger.version if challenger else None,
                "challenger_digest": challenger.digest if challenger else None,
            }
            if row is not None and all(row._mapping[key] == value for key, value in values.items()):
                continue
            write_state(connection, name, now, **values, **NO_ROLLOUT)
            changed.append(name)
    return changed


def write_state(connection: Connection, model: str, now: datetime, **values: Any) -> None:
    """Write a model's serving state as its next epoch; values not given stay as they are."""
    row = connection.execute(select(SERVING_STATE).where(SERVING_STATE.c.model == model)).first()
    if row is None:
        first = {"model": model, "epoch": 1, "weight_bp": 0, "salt": new_salt(), **values}
        connection.execute(insert(SERVING_STATE), {**first, "updated_at": now})
        return
    connection.execute(
        update(SERVING_STATE)
        .where(SERVING_STATE.c.model == model)
        .values(**values, epoch=row.epoch + 1, updated_at=now)
    )


def new_salt() -> str:
    """Return a fresh salt, which makes a new randomisation of the units."""
    return secrets.token_hex(8)


def _pause_for_moved_alias(connection: Connection, rollout_id: str, now: datetime) -> None:
    row = connection.execute(select(ROLLOUT).where(ROLLOUT.c.id == rollout_id, ROLLOUT.c.state == "canary")).first()
    if row is None:
        return
    reason = "the alias 'champion' was moved by hand; what is served did not change"
    with contextlib.suppress(RolloutConflictError):  # somebody decides at this moment: the next look sees what
        change(connection, row, Action.PAUSED, actor=_FOLLOWER, now=now, state="paused", reason=reason)


def _state(row: Row[Any]) -> ServingState:
    return ServingState(
        model=row.model,
        epoch=row.epoch,
        champion=ServedVersion(version=row.champion_version, digest=row.champion_digest),
        challenger=None
        if row.challenger_version is None
        else ServedVersion(version=row.challenger_version, digest=row.challenger_digest),
        weight_bp=row.weight_bp,
        salt=row.salt,
        rollout_id=row.rollout_id,
        others=tuple(map(WeightedVersion.model_validate, row.others or ())),
        shadow_bp=row.shadow_bp,
        holdback_bp=row.holdback_bp,
        on_missing_key=row.on_missing_key,
    )
