"""Rows of a request in a rollout's cohorts: logged before their model runs, and ended where they get no answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bentos.assigned import take
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
from monitoring.exposure_records import BESIDE, ExposureRecord, compared_positions
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
    """What the log is told of one request while its model is split."""

    def __init__(
        self,
        served: Served,
        request: Request,
        cohorts: Sequence[Cohort | None],
        unit_hashes: Sequence[str | None] | None,
    ) -> None:
        self.cohorts, self.unit_hashes = cohorts, unit_hashes
        self._served, self._request = served, request
        self._records: list[ExposureRecord] = []
        self._blamed: str | None = None

    def blame(self, variant: Variant) -> None:
        """Note whose error it is that the request gets no answer; the first one counts."""
        self._blamed = self._blamed or variant.name

    def begin(self, log: SegmentWriter, groups: Iterable[tuple[Variant, Sequence[int]]]) -> None:
        """Log that variants are given the rows at some positions; nothing where none of them is compared.

        Raises:
            SpoolFullError, LogUnavailableError: It could not be logged.
        """
        request, served, now = self._request, self._served, time.time()
        for variant, positions in groups:
            compared = compared_positions(positions, self.cohorts, self.unit_hashes)
            if not compared:
                continue
            record = ExposureRecord(
                request_id=request.id,
                served_at=now,
                model=served.model,
                model_version=variant.version,
                variant=variant.name,
                epoch=served.epoch,
                rollout_id=served.rollout_id,
                protocol=request.protocol,
                positions=compared,
                unit_hashes=take(self.unit_hashes, compared, request.rows),
                cohorts=take(self.cohorts, compared, request.rows) or (),
                caller_ids=take(request.caller_ids, compared, request.rows),
                protected=take(request.protected, compared, request.rows),
            )
            self._records.append(record)
        if self._records:
            log.expose(self._records)

    def end(self, log: SegmentWriter, error: BaseException) -> None:
        """Log why rows that were exposed get no answer; where that cannot be logged, they stay without an end.

        Rows of one request are answered together or not at all. Those of a variant that did not fail say so: the
        other one's errors are no evidence against it.
        """
        if not self._records:
            return
        status = status_of(error)
        now, latency_us = time.time(), int((time.perf_counter() - self._request.started) * 1e6)
        ended = [
            replace(
                record,
                served_at=now,
                status=status if self._blamed in {None, record.variant} else BESIDE,
                latency_us=latency_us,
                protected=None,
            )
            for record in self._records
        ]
        with contextlib.suppress(SpoolFullError, LogUnavailableError):
            log.expose(ended)
