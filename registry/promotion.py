"""Moving an alias to a version that its gates allow, and moving it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from registry.errors import AliasConflictError, GateRecordError, GateRefusedError, ModelNotFoundError
from registry.gate_record import GateRecord
from registry.reference import CHAMPION, PREVIOUS_CHAMPION, Reference
from registry.registry import Registry
from registry.versions import ModelVersion

OVERRIDE_TAG = "fairmind.override"
PROMOTED_TAG = "fairmind.promoted"
ROLLED_BACK_TAG = "fairmind.rolled_back"


@dataclass(frozen=True, slots=True)
class Promotion:
    """An alias that was moved; `previous_version` is None where it was new or stayed where it was."""

    alias: str
    version: ModelVersion
    previous_version: ModelVersion | None
    overridden: bool = False


def promote(
    registry: Registry,
    reference: Reference,
    *,
    alias: str = CHAMPION,
    override: str | None = None,
    actor: str,
    now: datetime,
) -> Promotion:
    """Point `alias` at the version that `reference` names, if its gates allow it.

    An `override` is the reason for moving it although they do not; it is recorded on the version with who and when,
    before the alias moves. The version that was champion stays findable as `previous_champion`.

    Raises:
        GateRefusedError: A gate refuses, or there is no record of gates that is about these very files.
        AliasConflictError: Somebody else moved the alias meanwhile.
        ModelNotFoundError: There is no such version.
    """
    version = registry.find(reference)
    before = _holder(registry, version.name, alias)
    overridden = admit(registry, version, override=override, actor=actor, now=now)
    if before is not None and before.version == version.version:
        return Promotion(alias, _again(registry, version), None, overridden)
    _sign(registry, version, PROMOTED_TAG, actor, now)
    _check_unmoved(registry, version.name, alias, before)
    if alias == CHAMPION and before is not None:
        registry.set_alias(version.name, PREVIOUS_CHAMPION, before.version)
    registry.set_alias(version.name, alias, version.version)
    return Promotion(alias, _again(registry, version), before, overridden)


def rollback(registry: Registry, name: str, *, actor: str, now: datetime, to: str | None = None) -> Promotion:
    """Make the previous champion the champion again; it served before, so no gate is asked.

    Works once: afterwards there is no previous champion, for the version left behind is not one to go back to.
    With `to`, the version that was champion before something that serves although its alias has not moved yet,
    that is the one to go back to; where it still has the alias, nothing is left to move.

    Raises:
        ModelNotFoundError: There is no previous champion.
        AliasConflictError: Somebody else moved the champion meanwhile.
    """
    wanted = Reference(name, alias=PREVIOUS_CHAMPION) if to is None else Reference(name, version=to)
    previous = registry.find(wanted)
    before = _holder(registry, name, CHAMPION)
    if to is not None and before is not None and before.version == to:
        return Promotion(CHAMPION, previous, None)
    if before is not None:
        _sign(registry, before, ROLLED_BACK_TAG, actor, now)
    _check_unmoved(registry, name, CHAMPION, before)
    registry.set_alias(name, CHAMPION, previous.version)
    registry.delete_alias(name, PREVIOUS_CHAMPION)
    return Promotion(CHAMPION, _again(registry, previous), before)


def admit(
    registry: Registry,
    version: ModelVersion,
    *,
    override: str | None,
    actor: str,
    now: datetime,
    check: Callable[[ModelVersion], object] | None = None,
) -> bool:
    """Let a version through its gates, or through an override, which is recorded on it; return whether it took one.

    `check` is a further gate, which refuses as its own gates do.

    Raises:
        GateRefusedError: A gate refuses and there is no override.
    """
    try:
        check_gates(version)
        if check is not None:
            check(version)
    except GateRefusedError:
        if override is None or not override.strip():
            raise
    else:
        return False
    record_override(registry, version, override=override, actor=actor, now=now)
    return True


def record_override(registry: Registry, version: ModelVersion, *, override: str, actor: str, now: datetime) -> None:
    """Record on a version why it serves although a gate refused it, with who says so and when."""
    _sign(registry, version, OVERRIDE_TAG, actor, now)
    registry.set_tag(version.name, version.version, f"{OVERRIDE_TAG}.reason", override.strip())


def was_overridden(version: ModelVersion) -> bool:
    """Return whether somebody overrode the version's gates before, on record."""
    return f"{OVERRIDE_TAG}.reason" in version.tags


def check_gates(version: ModelVersion) -> GateRecord:
    """Return the record of the version's gates when none of them refuses.

    Raises:
        GateRefusedError: A gate refuses.
        GateRecordError: There is no record, it cannot be read, or it is about other files.
    """
    record = GateRecord.from_version(version)
    if record is None:
        raise GateRecordError(str(version), "it has no record of its gates")
    if version.digest is None or record.digest != version.digest:
        raise GateRecordError(str(version), "its gates were measured on other files than the ones registered")
    refusing = record.refusing()
    if refusing:
        raise GateRefusedError(str(version), refusing)
    return record


def _holder(registry: Registry, name: str, alias: str) -> ModelVersion | None:
    try:
        return registry.find(Reference.parse(f"{name}@{alias}"))
    except ModelNotFoundError:
        return None


def _check_unmoved(registry: Registry, name: str, alias: str, before: ModelVersion | None) -> None:
    # MLflow has no compare-and-set; looking again just before the move leaves a window of milliseconds.
    expected = None if before is None else before.version
    holder = _holder(registry, name, alias)
    found = None if holder is None else holder.version
    if found != expected:
        raise AliasConflictError(name, alias, expected=expected, found=found)


def _sign(registry: Registry, version: ModelVersion, tag: str, actor: str, now: datetime) -> None:
    registry.set_tag(version.name, version.version, f"{tag}.by", actor)
    registry.set_tag(version.name, version.version, f"{tag}.at", now.isoformat())


def _again(registry: Registry, version: ModelVersion) -> ModelVersion:
    return registry.find(Reference(version.name, version=version.version))
