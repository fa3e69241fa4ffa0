"""Foreign versions on their way to the workers: prepared in the background, swapped for a compiled form later."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from inference.errors import InferenceError
from registry.digest import digest_folder
from runners.compiled import CompiledCache

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 60.0
_ASKED_SECONDS = 600.0
_WAITING = "it waits for its turn to be prepared"


class Prepares(Protocol):
    """Makes the folder of a foreign version; `runners.preparation.Preparer`."""

    def is_ready(self, folder: Path) -> bool:
        """Return whether the folder was made, and may still be used."""
        ...

    def prepare(self, source: Path, into: Path, tell: Callable[[str], None]) -> Path:
        """Make `into` from `source`; `tell` hears what is being done."""
        ...


@dataclass(frozen=True, slots=True)
class Located:
    """Where a foreign version can be loaded from, or why not yet; `label` changes when what is loaded does."""

    folder: Path | None
    problem: str | None
    label: str


class Preparations:
    """Prepares one foreign version after the other.

    `locate` is cheap and never waits; `work` takes minutes and belongs to a thread of its own.

    Args:
        preparer: Makes what is loaded.
        prepared: Where it is kept.
        compiled: Compiled forms, which are taken instead where there is one.
        ready: Called when a version has become ready.
    """

    def __init__(
        self,
        preparer: Prepares,
        prepared: Path,
        compiled: CompiledCache,
        ready: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._preparer, self._prepared, self._compiled = preparer, prepared, compiled
        self._ready, self._clock = ready, clock
        self._digests: dict[Path, str] = {}
        self._problems: dict[Path, str] = {}
        self._not_before: dict[Path, float] = {}
        self._queue: dict[Path, None] = {}
        self._asked: dict[Path, float] = {}

    def locate(self, source: Path) -> Located:
        """Return where the version whose files lie in `source` is loaded from; one not ready is queued."""
        digest = self._digests.get(source)
        if digest is None:
            digest = self._digests[source] = digest_folder(source)
        compiled = self._compiled.find(digest)
        if compiled is not None:
            return Located(compiled, None, f"{digest}/{compiled.name}")
        into = self._into(source)
        if self._preparer.is_ready(into):
            self._problems.pop(source, None)
            return Located(into, None, digest)
        if self._clock() >= self._not_before.get(source, 0.0):
            self._queue.setdefault(source)
        return Located(None, self._problems.get(source, _WAITING), digest)

    def ask(self, source: Path) -> Located:
        """Return what `locate` does, for a version that is not to serve; it stays wanted for ten minutes."""
        self._asked[source] = self._clock() + _ASKED_SECONDS
        return self.locate(source)

    def keep_only(self, sources: Iterable[Path]) -> None:
        """Forget what is no longer wanted."""
        now = self._clock()
        for source, until in list(self._asked.items()):
            if until < now:
                self._asked.pop(source, None)
        wanted = {*sources, *list(self._asked)}
        known: tuple[dict[Path, Any], ...] = (self._digests, self._problems, self._not_before, self._queue)
        for kept in known:
            for source in set(kept) - wanted:
                kept.pop(source, None)

    def work(self) -> None:
        """Prepare what is in the queue; a version that cannot be prepared stands in nobody's way."""
        while (source := next(iter(list(self._queue)), None)) is not None:
            try:
                self._preparer.prepare(source, self._into(source), partial(self._tell, source))
            except (InferenceError, OSError) as error:
                self._report(source, str(error))
            except Exception as error:
                places = "".join(traceback.format_tb(error.__traceback__))
                self._report(source, f"{type(error).__name__}; the log says where", places)
            else:
                self._problems.pop(source, None)
                self._ready()
            # Counted from its end: an environment that fails after ten minutes is not made again at once.
            self._not_before[source] = self._clock() + _RETRY_SECONDS
            self._queue.pop(source, None)

    def _into(self, source: Path) -> Path:
        return self._prepared / source.parent.name / source.name

    def _tell(self, source: Path, text: str) -> None:
        _log.info("%s/%s: %s", source.parent.name, source.name, text)
        self._problems[source] = text

    def _report(self, source: Path, problem: str, places: str = "") -> None:
        _log.warning(
            "%s/%s cannot be prepared: %s%s", source.parent.name, source.name, problem, places and f"\n{places}"
        )
        self._problems[source] = problem
