"""Registered models as the API and the command line show them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from registry.errors import GateRecordError
from registry.gate_record import GateRecord
from registry.registry import Registry
from registry.versions import ModelVersion
from rollout.serving_state import ServingState
from rollout.serving_store import serving_states


def models_view(registry: Registry, control: Engine) -> list[dict[str, Any]]:
    """Return all registered models with their versions, newest first, and what serves."""
    states = serving_states(control)
    return [_view(registry.versions(name), name, states.get(name)) for name in registry.names()]


def model_view(registry: Registry, control: Engine, name: str) -> dict[str, Any]:
    """Return one registered model.

    Raises:
        ModelNotFoundError: There is none of this name.
    """
    return _view(registry.versions(name), name, serving_states(control).get(name))


def version_view(version: ModelVersion) -> dict[str, Any]:
    """Return one version: where it comes from, its aliases, and what its gates said."""
    try:
        record = GateRecord.from_version(version)
    except GateRecordError as error:
        gates: Any = {"error": error.reason}
    else:
        gates = None if record is None else [result.model_dump(mode="json") for result in record.results]
    return {
        "name": version.name,
        "version": version.version,
        "aliases": sorted(version.aliases),
        "created_at": version.created_at.isoformat(),
        "run_id": version.run_id,
        "digest": version.digest,
        "gates": gates,
        "tags": {key: value for key, value in version.tags.items() if key != "fairmind.gates"},
    }


def _view(versions: list[ModelVersion], name: str, state: ServingState | None) -> dict[str, Any]:
    return {
        "name": name,
        "serving": None
        if state is None
        else {
            "epoch": state.epoch,
            "champion": state.champion.version,
            "challenger": None if state.challenger is None else state.challenger.version,
            "weight": state.weight_bp / 10_000,
            "rollout_id": state.rollout_id,
        },
        "versions": [version_view(version) for version in versions],
    }
