"""What becomes of the log once it is shipped: features are archived, files merged, and what is too old deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Engine

from bentos.configuration import Settings
from bentos.stores import open_features
from database.home import Home
from monitoring.archive import Archive
from monitoring.feature_upkeep import FeatureUpkeep
from monitoring.retention import Retention, RetentionPolicy
from monitoring.sinks import ArchiveSink
from rollout.unit_retention import forget_units

_ARCHIVE_SECONDS: Final = 1.0
_UPKEEP_SECONDS: Final = 60.0
_DELETE_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.05
_PAUSES: Final = 10


class LogUpkeep:
    """The Companion's loops over the log beside the shipper, each in a thread of its own.

    `control` says which rollouts ended so long ago that their units are deleted too; without it none are.
    """

    def __init__(
        self,
        settings: Settings,
        home: Home,
        log: Engine,
        sinks: Sequence[ArchiveSink] = (),
        *,
        control: Engine | None = None,
    ) -> None:
        self._log, self._control = log, control
        self._policy = policy = RetentionPolicy.of(settings.monitoring)
        self._store = store = open_features(settings, home)
        self._archive = Archive(home.spool, log, store, sinks)
        self._files = FeatureUpkeep(log, store, policy)
        self._retention = Retention(log, policy)
        self._retained_until = 0.0
        self.loops: dict[str, tuple[Callable[[], None], float]] = {
            "archive": (self.archive, _ARCHIVE_SECONDS),
            "features": (self._keep_files, _UPKEEP_SECONDS),
            "retention": (self._delete, _DELETE_SECONDS),
        }

    def sweep(self) -> None:
        """Remove what a Companion left behind that died while it wrote; before the loops begin."""
        self._store.sweep()

    def archive(self) -> None:
        """Archive the features of what is shipped."""
        self._archive.work()

    def _keep_files(self) -> None:
        now = datetime.now(UTC)
        self._files.expire(now)
        self._files.sweep(now)
        while self._files.merge(now):
            time.sleep(_PAUSE_SECONDS)

    def _delete(self) -> None:
        """Delete for a part of the time, as long as there is something to delete; then look once a minute."""
        if time.monotonic() < self._retained_until:
            return
        for _ in range(_PAUSES):
            now = datetime.now(UTC)
            if not self._retention.step(now) + self._forget_units(now):
                self._retained_until = time.monotonic() + _UPKEEP_SECONDS
                return
            time.sleep(_PAUSE_SECONDS)  # whoever ships may come in between

    def _forget_units(self, now: datetime) -> int:
        """Delete units of rollouts that ended before what is logged of predictions begins."""
        if self._control is None or self._policy.predictions is None:
            return 0
        return forget_units(self._log, self._control, now - self._policy.predictions)
