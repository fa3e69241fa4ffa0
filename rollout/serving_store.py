"""The serving state in the database: read by the Companion, written by rollouts or, without one, from aliases."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, insert, select, update

from database.engine import insert_or_ignore, reading
from registry.reference import CHALLENGER, CHAMPION
from registry.versions import ModelVersion
from rollout.holds import Hold
from rollout.outside_holds import hold, let_go
from rollout.serving_state import ServedVersion, ServingState, WeightedVersion
from rollout.states import ENDING, TERMINAL, State
from rollout.tables import DEPLOYMENT_SALT, OUTBOX, ROLLOUT, ROLLOUT_EPOCH, SERVING_STATE

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

ALIAS_MOVED: Final = "the alias 'champion' was moved by hand; what is served did not change"
"""Why a rollout is paused whose alias somebody moved."""

_ALIAS_BACK: Final = "the alias 'champion' is back where it was"


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
    an alias moved by hand pauses the rollout and changes nothing served; one with guardrails goes on once the alias
    is back.

    `seen` are the epochs (`serving_epochs`) from before the aliases were read. A model whose epoch moved since is
    left to the next look: the aliases may be older than what moved it. So is one whose alias a promotion is about
    to move.
    """
    champions = {version.name: version for version in aliased if CHAMPION in version.aliases}
    challengers = {version.name: version for version in aliased if CHALLENGER in version.aliases}
    changed = []
    with engine.begin() as connection:
        current = {row.model: row for row in connection.execute(select(SERVING_STATE))}
        moving = select(OUTBOX.c.model).where(OUTBOX.c.kind == "promote", OUTBOX.c.done_at.is_(None))
        promoted = set(connection.execute(moving).scalars())  # their aliases are about to say what is served
        for name in sorted(champions.keys() | current.keys()):
            row, champion = current.get(name), champions.get(name)
            if name in promoted or (row.epoch if row is not None else None) != seen.get(name):
                continue
            if row is not None and row.rollout_id is not None:
                is_moved = champion is None or row.champion_version != champion.version
                _follow_alias_of(connection, row.rollout_id, now, is_moved=is_moved)
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
    """Write a model's serving state as its next epoch; values not given stay as they are.

    During a rollout the epoch is noted with the rollout's step, as the rollout's row says it then.
    """
    row = connection.execute(select(SERVING_STATE).where(SERVING_STATE.c.model == model)).first()
    epoch = 1 if row is None else row.epoch + 1
    if row is None:
        first = {"model": model, "epoch": epoch, "weight_bp": 0, "salt": new_salt(), **values}
        connection.execute(insert(SERVING_STATE), {**first, "updated_at": now})
    else:
        connection.execute(
            update(SERVING_STATE)
            .where(SERVING_STATE.c.model == model)
            .values(**values, epoch=epoch, updated_at=now)
        )
    rollout_id = values.get("rollout_id", None if row is None else row.rollout_id)
    if rollout_id is not None:
        _note_epoch(connection, rollout_id, epoch, now)


def epochs_of(connection: Connection, rollout_id: str) -> dict[int, int]:
    """Return the index of the plan's step by epoch, of all epochs in which a step of the plan was served."""
    rows = select(ROLLOUT_EPOCH).where(ROLLOUT_EPOCH.c.rollout_id == rollout_id)
    unserved = ENDING | TERMINAL | {State.PENDING}
    return {row.epoch: row.step_index for row in connection.execute(rows) if row.state not in unserved}


def new_salt() -> str:
    """Return a fresh salt, which makes a new randomisation of the units."""
    return secrets.token_hex(8)


def _follow_alias_of(connection: Connection, rollout_id: str, now: datetime, *, is_moved: bool) -> None:
    """Pause a rollout whose alias was moved, and let one with guardrails go on when it is back."""
    row = connection.execute(select(ROLLOUT).where(ROLLOUT.c.id == rollout_id)).one()
    if is_moved:
        hold(connection, row, Hold.ALIAS_MOVED, ALIAS_MOVED, now)
    else:
        let_go(connection, row, Hold.ALIAS_MOVED, _ALIAS_BACK, now)


def _note_epoch(connection: Connection, rollout_id: str, epoch: int, now: datetime) -> None:
    row = connection.execute(select(ROLLOUT).where(ROLLOUT.c.id == rollout_id)).one()
    noted = {
        "rollout_id": rollout_id,
        "epoch": epoch,
        "step_index": row.step_index,
        "state": row.state,
        "weight_bp": row.weight_bp,
        "at": now,
    }
    connection.execute(insert(ROLLOUT_EPOCH), noted)


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
