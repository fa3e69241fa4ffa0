"""Takes replays as tasks, runs one after the other beside what the Companion does, and keeps what they find."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from bentos.companion import Companion
from bentos.errors import InvalidRequestError, describe
from bentos.replays import Replays
from bentos.stores import open_features
from replay import store
from replay.attached import attach
from replay.request import ReplayRequest
from replay.store import StoredReplay

_log = logging.getLogger(__name__)
_TOLD_SECONDS: Final = 0.5
_LOST_AFTER: Final = timedelta(minutes=10)
"""A replay of another Companion's, on a shared database, is taken over when it was not heard of for so long."""
_RECOVERY_SECONDS: Final = 60.0


class ReplayService:
    """One per Companion; `work` is to be called over and over by one thread."""

    def __init__(self, companion: Companion) -> None:
        settings = companion.settings
        self._control = companion.control
        self._is_alone = settings.database.url is None
        self._limit = settings.assessment.queued_tasks
        features = open_features(settings, companion.home)
        self._replays = Replays(companion.home, companion.log, features, companion.registry)
        self._recovered_at: float | None = None

    def ask(self, body: dict[str, Any], *, actor: str) -> StoredReplay:
        """Let the replay that `body` asks for wait for its turn.

        Raises:
            InvalidRequestError: A field is missing, unknown or of another type; says which.
            InvalidPlanError, ModelNotFoundError: The plan is wrong, or a version is not there.
            ReplayQueueFullError: As many wait as may.
        """
        now = datetime.now(UTC)
        asked = self._replays.ask(_parsed(body), actor=actor, now=now)
        store.submit(self._control, asked, limit=self._limit, now=now)
        return store.find(self._control, asked.id)[0]

    def work(self) -> None:
        """Run the replays that wait, one after the other; return when none does."""
        self._recover()
        while (taken := store.take(self._control, datetime.now(UTC))) is not None:
            self._run(*taken)

    def _run(self, stored: StoredReplay, request: dict[str, Any]) -> None:
        try:
            asked = self._replays.again(stored.id, stored, request)
            result = self._replays.run(asked, now=stored.until, told=self._told(stored.id))
            now = datetime.now(UTC)
            with self._control.begin() as connection:
                if store.change(connection, stored.id, store.outcome_of(result, now)):
                    attach(connection, result, now)
        except Exception as error:
            status, _, reason = describe(error)
            if status == 500:
                # Its own message may quote a row: where it failed is logged, what it said is not.
                places = "".join(traceback.format_tb(error.__traceback__))
                _log.error("replay %s failed (%s)\n%s", stored.id, type(error).__name__, places)
                reason = "internal error; the server's log has the details under this id"
            recovered_at, self._recovered_at = self._recovered_at, None  # the next round finds what even this left
            store.fail(self._control, stored.id, reason, datetime.now(UTC))
            self._recovered_at = recovered_at

    def _told(self, replay_id: str) -> Callable[[int, int], None]:
        last = 0.0

        def tell(done: int, total: int) -> None:
            nonlocal last
            if total and time.monotonic() - last >= _TOLD_SECONDS:
                last = time.monotonic()
                store.touch(self._control, replay_id, done / total, datetime.now(UTC))

        return tell

    def _recover(self) -> None:
        """Let replays wait again whose process ended: once, or every minute where others share the database."""
        elapsed = None if self._recovered_at is None else time.monotonic() - self._recovered_at
        if elapsed is not None and (self._is_alone or elapsed < _RECOVERY_SECONDS):
            return
        now = datetime.now(UTC)
        store.recover(self._control, untouched_since=now if self._is_alone else now - _LOST_AFTER, now=now)
        self._recovered_at = time.monotonic()


def _parsed(body: dict[str, Any]) -> ReplayRequest:
    try:
        return ReplayRequest.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InvalidRequestError(f"{where}: {first['msg']}") from error
