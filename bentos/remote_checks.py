"""The Companion's looks at the remote variants that are to serve; one that changed holds its rollout."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from bentos.version_folders import VersionFolders
from inference.errors import RuntimeLoadError
from monitoring.answering_versions import last_reported
from monitoring.exposition import StateMetrics
from remotes.checking import Checked, changed, check_remote
from remotes.definition import RemoteDefinition, is_remote, read_remote
from rollout.remote_changes import hold_changed
from rollout.serving_state import ServedVersion, ServingState
from rollout.serving_store import serving_states

SECONDS: Final = 2.0
"""Between two looks. What a changed server answers meanwhile is logged under a version of its own."""
_AT_A_TIME: Final = 8
_RECENT: Final = timedelta(minutes=1)
"""How old an answer may be that tells of the server that gave it."""

Place = tuple[str, str]
"""A model and a version of it."""


class RemoteChecks:
    """Looks at the servers of all remote versions that are to serve."""

    def __init__(self, control: Engine, log: Engine, folders: VersionFolders) -> None:
        self._control, self._log, self._folders = control, log, folders
        self._found: dict[Place, Checked] = {}

    def look(self) -> None:
        """Ask each server once; hold the rollouts whose server changed, and let go those whose is back."""
        states = serving_states(self._control)
        wanted = [
            (state.model, version.version, definition)
            for state in states.values()
            for version, definition in self._remote(state)
        ]
        with ThreadPoolExecutor(_AT_A_TIME) as pool:  # one that does not answer keeps no other waiting
            checked = pool.map(lambda one: self._checked(*one), wanted)
            found = {(model, version): one for (model, version, _), one in zip(wanted, checked, strict=True)}
        self._found = found
        for state in states.values():
            if state.rollout_id is not None:
                self._hold(state, found)

    def problems(self) -> dict[str, str]:
        """Return what is amiss with servers, by `model/version`."""
        return {
            f"{model}/{version}": checked.problem
            for (model, version), checked in list(self._found.items())
            if checked.problem is not None
        }

    def set_gauges(self, metrics: StateMetrics) -> None:
        """Say which servers are not as they should be."""
        for (model, version), checked in list(self._found.items()):
            metrics.remote_up.labels(model, version).set(checked.problem is None or checked.is_changed)
            metrics.remote_changed.labels(model, version).set(checked.is_changed)

    def _checked(self, model: str, version: str, definition: RemoteDefinition) -> Checked:
        """Return what the server says of itself, or what it said in its newest answer.

        Its metadata may name no version, as those of MLServer do, or several.
        """
        checked = check_remote(definition)
        if checked.is_changed:
            return checked
        reported = last_reported(self._log, model, version, datetime.now(UTC) - _RECENT)
        return checked if reported is None else changed(definition, checked.versions, reported)

    def _remote(self, state: ServingState) -> Iterable[tuple[ServedVersion, RemoteDefinition]]:
        for version in state.versions():
            folder = self._folders.find(state.model, version)
            try:
                if folder is not None and is_remote(folder):
                    yield version, read_remote(folder).definition
            except RuntimeLoadError:  # damaged: workers tell of it
                continue

    def _hold(self, state: ServingState, found: dict[Place, Checked]) -> None:
        places = [(state.model, version.version) for version in state.versions()]
        looked_at = [found[place] for place in places if place in found]
        if not looked_at or state.rollout_id is None:
            return
        changed = next((one.problem for one in looked_at if one.is_changed), None)
        # A server that is away says nothing of its version: what it last said stands.
        if changed is not None or all(one.problem is None for one in looked_at):
            hold_changed(self._control, state.rollout_id, changed, datetime.now(UTC))
