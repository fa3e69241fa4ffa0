"""Rows of a request in a rollout's cohorts: logged before their model runs, and ended where they get no answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from bentos.assigned import Groups
from bentos.served import Served, Variant
from inference.errors import (
    DeadlineExceededError,
    DrainingError,
    MalformedColumnsError,
    QueueFullError,
    RowsRefusedError,
    SignatureMismatchError,
)
from monitoring.errors import LogUnavailableError, SpoolFullError
from monitoring.exposure_records import BESIDE, SERVED_AT, ExposedRow, compared_positions
from monitoring.predictions import SegmentWriter
from rollout.assignment import Cohort

if TYPE_CHECKING:
    from bentos.dataplane import Request

_STATUSES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (DeadlineExceededError, "timeout"),
    (QueueFullError, "overloaded"),
    (DrainingError, "overloaded"),
    (RowsRefusedError, "refused"),
    (SignatureMismatchError, "refused"),
    (MalformedColumnsError, "refused"),
    (SpoolFullError, "unlogged"),
    (LogUnavailableError, "unlogged"),
    (asyncio.CancelledError, "cancelled"),
)
"""What is said of rows by what kept them from being answered; anything else is an `error`."""

_ONLY: Final = (0,)
_VARIANT: Final = 4
"""The place of the variant's name in an `ExposedRow`."""


def status_of(error: BaseException) -> str:
    """Return the status of rows that an error kept from being answered."""
    return next((said for kind, said in _STATUSES if isinstance(error, kind)), "error")


@contextlib.contextmanager
def blaming(exposed: Exposed | None, variant: Variant) -> Iterator[None]:
    """Note that an error within is this variant's, of those that a request's rows went to."""
    try:
        yield
    except Exception:
        if exposed is not None:
            exposed.blame(variant)
        raise


class Exposed:
    """What the log is told of one request while its model is split.

    `rows` are those in a compared cohort, as they are before their model runs. `problem` says why the log did not
    take them; None: it did, or is yet to be asked.
    """

    __slots__ = ("_blamed", "_started", "problem", "rows", "unit_hashes")

    def __init__(
        self,
        served: Served,
        request: Request,
        groups: Groups,
        cohorts: Sequence[Cohort | None],
        unit_hashes: Sequence[str | None] | None,
    ) -> None:
        self.unit_hashes = unit_hashes
        self.rows = _rows_of(served, request, groups, cohorts, unit_hashes)
        self.problem: SpoolFullError | LogUnavailableError | None = None
        self._started = request.started
        self._blamed: str | None = None

    def blame(self, variant: Variant) -> None:
        """Note whose error it is that the request gets no answer; the first one counts."""
        self._blamed = self._blamed or variant.name

    def ended(self, error: BaseException) -> list[ExposedRow]:
        """Return the rows with the reason why they get no answer.

        Rows of one request are answered together or not at all. Those of a variant that did not fail say so: the
        other one's errors are no evidence against it.
        """
        status = status_of(error)
        now, latency_us = time.time(), int((time.perf_counter() - self._started) * 1e6)
        return [
            (*row[:SERVED_AT], now, status if self._blamed in {None, row[_VARIANT]} else BESIDE, latency_us, None)
            for row in self.rows
        ]


class Exposures:
    """Puts exposures into the log: those of one pass of the event loop in one piece. Belongs to one event loop."""

    def __init__(self, log: SegmentWriter) -> None:
        self._log = log
        self._waiting: list[Exposed] = []

    def begin(self, exposed: Exposed) -> None:
        """Take rows that variants are given; batchers call `write` before they call a model.

        Raises:
            SpoolFullError: The log has no room for them.
        """
        if not exposed.rows:
            return
        if not self._waiting:
            self._log.check_room()
            # Whoever waits behind a long call is written now: that call may be the worker's last.
            asyncio.get_running_loop().call_soon(self.write)
        self._waiting.append(exposed)

    def write(self) -> None:
        """Write what was taken since the last time; of what the log refuses, `problem` says so."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        try:
            self._log.expose([row for exposed in waiting for row in exposed.rows])
        except (SpoolFullError, LogUnavailableError) as error:
            for exposed in waiting:
                exposed.problem = error

    def end(self, exposed: Exposed, error: BaseException) -> None:
        """Log why rows get no answer; where that cannot be logged, they stay without an end."""
        if not exposed.rows:
            return
        self.write()
        with contextlib.suppress(SpoolFullError, LogUnavailableError):
            self._log.expose(exposed.ended(error))


def _rows_of(
    served: Served,
    request: Request,
    groups: Groups,
    cohorts: Sequence[Cohort | None],
    unit_hashes: Sequence[str | None] | None,
) -> list[ExposedRow]:
    """Return the rows in a compared cohort, variant by variant, of a request that has any."""
    now, protected, rows = time.time(), request.protected, request.rows
    return [
        (
            f"{request.id}-{place}",
            served.rollout_id,
            served.epoch,
            cohorts[place] or "",
            variant.name,
            served.model,
            variant.version,
            None if unit_hashes is None else unit_hashes[place],
            now,
            None,
            None,
            None if protected is None else protected[place],
        )
        for variant, positions in groups
        for place in (
            _ONLY
            if rows == 1
            else compared_positions(range(rows) if positions is None else positions, cohorts, unit_hashes)
        )
    ]
