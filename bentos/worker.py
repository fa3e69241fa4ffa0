"""One serving process: follows the serving state, switches to versions once they are loaded, keeps the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path

from bentos.exposed import Exposures
from bentos.loaded import LoadedVersions
from bentos.served import CHAMPION, Served, Variant
from bentos.settings import BatchingSettings, ServingSettings
from bentos.shadow import Shadow
from monitoring.kept_features import KeptFeatures
from monitoring.metrics import ServingMetrics
from monitoring.predictions import SegmentWriter
from monitoring.refusal_records import RefusedRequests
from monitoring.settings import MonitoringSettings
from rollout.assignment import CHALLENGERS
from rollout.serving_state import ServedVersion, ServingFile, ServingState, parse_file
from runners.policy import RunnerPolicy

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.2
SERVING_STATE = "serving_state"
"""The name of a problem that is no model's."""

HEARTBEAT_SECONDS = 5.0
"""A serving state not renewed for this long leaves every unit with the champion."""


class Worker:
    """What a worker serves and where it keeps its log.

    Args:
        state_file: The serving state that the Companion writes.
        spool: Where the prediction log's segments go.
        serving: Limits.
        batching: How batches form.
        monitoring: Bounds of the log.
        metrics: What is counted.
        runners: Bounds of models that run in processes of their own.
        shipped: Where the Companion says how much of the log is in the database; None: it does not.
    """

    def __init__(
        self,
        *,
        state_file: Path,
        spool: Path,
        serving: ServingSettings,
        batching: BatchingSettings,
        monitoring: MonitoringSettings,
        metrics: ServingMetrics,
        runners: RunnerPolicy | None = None,
        shipped: Path | None = None,
    ) -> None:
        self.serving, self.monitoring, self.metrics = serving, monitoring, metrics
        self.models: Mapping[str, Served] = {}
        self.problems: Mapping[str, str] = {}
        self.unit_key = b""
        self.log = SegmentWriter(
            spool,
            segment_bytes=monitoring.segment_bytes,
            spool_bytes=monitoring.spool_bytes,
            segment_seconds=monitoring.segment_seconds,
            shipped=shipped,
            features=KeptFeatures(share=monitoring.features_share, redacted=monitoring.redacted_features),
        )
        self.exposures = Exposures(self.log)
        self.shadow = Shadow(
            self.log,
            metrics,
            queue_rows=serving.shadow_queue_rows,
            request_rows=serving.shadow_request_rows,
            seconds=serving.timeout_seconds,
        )
        self.refused = RefusedRequests(self.log)
        self._state_file = state_file
        self._loaded = LoadedVersions(
            batching,
            metrics,
            self._apply,
            idle=serving.idle_versions,
            runners=runners,
            before_call=self.exposures.write,
        )
        self._content = b""
        self._state: ServingFile | None = None
        self._damage: str | None = None
        self._full: Mapping[str, Served] = {}
        self._is_stale = False
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load what is to be served and begin to follow changes."""
        self._follow_once()
        await self._loaded.settle()
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Answer what was taken, then close the log."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        await self.shadow.close()
        await self._loaded.close()
        self.refused.write(time.time())
        self.log.close()
        self.metrics.save()

    @property
    def is_stale(self) -> bool:
        """Whether the Companion has not renewed the serving state for so long that splits are suspended."""
        return self._is_stale

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                self.refused.write(time.time())
                self.log.close_if_old()
                self._follow_once()
                self.metrics.save()
            except Exception:
                _log.exception("the serving state could not be followed; what is served stays as it is")

    def _follow_once(self) -> None:
        try:
            content = self._state_file.read_bytes()
            renewed = self._state_file.stat().st_mtime
        except FileNotFoundError:
            content, renewed = b"", 0.0
        is_stale = self._state is not None and time.time() - renewed > HEARTBEAT_SECONDS
        is_new = bool(content) and content != self._content
        if is_new:
            self._content = content
            try:
                self._state = parse_file(content)
                self._damage = None
            except ValueError:
                self._damage = "the serving state is damaged; what is served stays as it is"
                _log.error(self._damage)
        # Versions still missing are asked for again at each look: loads that failed are retried after a while.
        if is_new or is_stale != self._is_stale or self.problems or self._state is None:
            self._is_stale = is_stale
            self._apply()

    def _apply(self) -> None:
        """Serve what the state says as far as it is loaded; the rest stays as it was. Never waits."""
        if self._state is None:
            self.problems = {SERVING_STATE: "the Companion has not written the serving state yet"}
            return
        self.unit_key = self._state.unit_salt.encode()
        problems = {**self._state.problems, **({} if self._damage is None else {SERVING_STATE: self._damage})}
        full: dict[str, Served] = {}
        for name, wanted in self._state.models.items():
            served = self._serve(wanted, self._full.get(name))
            if served is not None:
                full[name] = served
            for version in wanted.versions():
                problem = self._loaded.problem(name, version)
                if problem is not None:
                    problems[f"{name}/{version.version}"] = problem
        self._full, self.problems = full, problems
        self.models = {name: one.only_champion() for name, one in full.items()} if self._is_stale else full
        self._loaded.keep_only(
            [(name, version) for name, state in self._state.models.items() for version in state.versions()],
            [variant.batcher for one in full.values() for variant in one.variants()],
        )

    def _serve(self, wanted: ServingState, before: Served | None) -> Served | None:
        """Return the model as wanted, with the champion of before while the new one is not loaded."""
        champion = self._variant(wanted.model, wanted.champion, CHAMPION)
        if champion is None and before is not None:
            champion = before.champion
        if champion is None:
            return None
        challengers = self._challengers(wanted, before)
        return Served(
            model=wanted.model,
            epoch=wanted.epoch,
            champion=champion,
            challenger=challengers[0] if challengers else None,
            weight_bp=wanted.weight_bp,
            salt=wanted.salt,
            rollout_id=wanted.rollout_id,
            others=challengers[1:],
            others_bp=tuple(other.weight_bp for other in wanted.others) if challengers else (),
            holdback_bp=wanted.holdback_bp,
            shadow_bp=wanted.shadow_bp,
            on_missing_key=wanted.on_missing_key,
        )

    def _challengers(self, wanted: ServingState, before: Served | None) -> tuple[Variant, ...]:
        """Return the challengers, with those of before whose version is loaded anew; none while one is missing:
        without it the others would be compared on shares that are not the plan's."""
        found: list[Variant] = []
        for version, cohort in zip(wanted.versions()[1:], CHALLENGERS, strict=False):
            role = cohort.value
            variant = self._variant(wanted.model, version, role)
            if variant is None and before is not None:
                # The same version in another form is being loaded: its units are not moved for that.
                same = (one for one in before.variants()[1:] if (one.name, one.version) == (role, version.version))
                variant = next(same, None)
            if variant is not None:
                found.append(variant)
        return tuple(found) if len(found) == len(wanted.versions()) - 1 else ()

    def _variant(self, model: str, version: ServedVersion, role: str) -> Variant | None:
        batcher = self._loaded.get(model, version)
        return None if batcher is None else Variant(role, version.version, batcher, version.digest)
