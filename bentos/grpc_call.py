"""What every method of the gRPC service is wrapped in: admission, parsing, statuses, metrics, one line per failure.

gRPC's interceptors are walked again for each call and cost more than a prediction; a wrapper is made once.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc
from google.protobuf.message import DecodeError

from access.principal import ANYONE, Principal
from bentos.admission import Admission, Needed
from bentos.errors import MalformedRequestError, OverloadedError, describe, extra_headers, grpc_code
from bentos.wire import CALLERS_ID, is_callers_id
from bentos.worker import Worker
from inference.errors import DeadlineExceededError, DrainingError
from monitoring.identifiers import new_request_id

PROTOCOL: Final = "grpc"
UNIT_KEY: Final = "x-fairmind-unit"
OVERRIDE_KEY: Final = "x-fairmind-override"
_AUTHORIZATION: Final = "authorization"
_CALLERS_ID: Final = CALLERS_ID.decode()
_EXHAUSTED: Final = "RESOURCE_EXHAUSTED"
_MAX_MESSAGE: Final = 500  # characters: a status travels percent-encoded in metadata of at most 8 KiB
_access_log = logging.getLogger("fairmind.access")


class Door(Protocol):
    """What bounds and notes requests of all protocols; `bentos.edge.FrontDoor`."""

    def enter(self) -> bool:
        """Take one more prediction request if there is room for it."""
        ...

    def leave(self) -> None:
        """Give the place of one prediction request back."""
        ...

    def note(self, error: Exception, named: str, model: str) -> tuple[int, str, str]:
        """Return HTTP status, code and message of an error, and log one that somebody has to look after.

        `named` is how the log names the request.
        """
        ...


@dataclass(slots=True)
class Call:
    """One call: its message as it came, and how many seconds the caller waits from `started` on, None for ever.

    `model` is filled in as it becomes known; it labels what is counted. `principal` is who asks.
    """

    context: Any
    content: bytes
    request_id: str
    started: float
    patience: float | None
    model: str = ""
    principal: Principal = ANYONE
    _told: dict[str, Any] | None = None

    def metadata(self, name: str) -> str | None:
        """Return the caller's metadata of that name (lower case), None when it is not there."""
        if self._told is None:  # gRPC makes a new copy for whoever asks
            self._told = dict(reversed(self.context.invocation_metadata()))
        value = self._told.get(name)
        return value if type(value) is str else None

    def callers_id(self) -> str | None:
        """Return the id that the caller gave the call in `x-request-id`, which comes back and stands in the log
        beside ours; None without one that HTTP would take."""
        given = self.metadata(_CALLERS_ID)
        return given if given is not None and is_callers_id(given.encode()) else None

    def with_callers_id(self, told: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """Return what is told in trailing metadata, and with it the caller's id of the call."""
        callers_id = self.callers_id()
        return tuple(told) if callers_id is None else (*told, (_CALLERS_ID, callers_id))


Answer = Callable[[Call], Awaitable[bytes]]
Method = Callable[[bytes, Any], Awaitable[bytes]]


class Calls:
    """Wraps the methods of a service, and knows which of them are under way.

    Args:
        door: Shared with HTTP.
        worker: What serves.
        admission: Who may do what.
    """

    def __init__(self, door: Door, worker: Worker, admission: Admission) -> None:
        self._door, self._metrics, self._admission = door, worker.metrics, admission
        self._overloaded = OverloadedError(worker.serving.max_in_flight)
        self._seconds = worker.serving.timeout_seconds
        self._logs_access = worker.serving.access_log
        self._under_way = 0
        self.is_draining = False
        self.refused_at = 0.0
        """When a call was last refused for draining, on the clock of `time.monotonic`."""

    @property
    def under_way(self) -> int:
        """How many calls are not answered yet."""
        return self._under_way

    def wrap(self, answer: Answer, needed: Needed, *, predicts: bool = False) -> Method:
        """Return a method for gRPC: serialised message in, serialised message out, never an exception.

        A caller needs one of the scopes `needed`. Those that predict share the places of HTTP's predictions.
        """

        async def method(content: bytes, context: Any) -> bytes:
            call = Call(context, content, new_request_id(), time.perf_counter(), context.time_remaining())
            entered = False
            self._under_way += 1
            try:
                self._admit(call, needed)
                if predicts:
                    entered = self._door.enter()
                    if not entered:
                        raise self._overloaded
                answered = await answer(call)
            except Exception as error:
                await self._refuse(error, call, predicts=predicts)
                return b""
            finally:
                self._under_way -= 1
                if entered:
                    self._door.leave()
            if call.model:
                self._metrics.request(call.model, PROTOCOL, "OK")
                if self._logs_access and predicts:
                    self._log_access("OK", call)
            return answered

        return method

    def _admit(self, call: Call, needed: Needed) -> None:
        """Raise where the call may not be answered at all; note who asks."""
        authorization = call.metadata(_AUTHORIZATION)
        call.principal = self._admission.admit(None if authorization is None else authorization.encode(), needed)
        if self.is_draining:
            self.refused_at = time.monotonic()
            raise DrainingError
        if call.patience is not None and call.patience <= 0:
            raise DeadlineExceededError

    async def _refuse(self, error: Exception, call: Call, *, predicts: bool) -> None:
        is_short = call.patience is not None and call.patience < self._seconds
        if isinstance(error, DrainingError) or (is_short and isinstance(error, DeadlineExceededError)):
            status, code, message = describe(error)  # as it was meant to be: nobody has to look after it
        else:
            callers_id = call.callers_id()
            named = call.request_id if callers_id is None else f"{call.request_id} ({callers_id})"
            status, code, message = self._door.note(error, named, call.model)
        name = grpc_code(status, code)
        self._metrics.request(call.model, PROTOCOL, name)
        hints = _retry_hints(error, status) if name == _EXHAUSTED else ()
        if self._logs_access and predicts:
            self._log_access(name, call)
        told = call.with_callers_id((("x-fairmind-request-id", call.request_id), *hints))
        # Not a code beside an empty answer: where there is an answer, be it empty, gRPC's clients retry nothing.
        with contextlib.suppress(Exception):  # raised in any case, for the refusal or because the caller has gone
            await call.context.abort(grpc.StatusCode[name], message[:_MAX_MESSAGE], told)

    def _log_access(self, code: str, call: Call) -> None:
        took = 1e3 * (time.perf_counter() - call.started)
        _access_log.info("gRPC ModelInfer %s %.1f ms request %s", code, took, call.request_id)


def _retry_hints(error: Exception, status: int) -> tuple[tuple[str, str], ...]:
    """Return when to call again, for people as HTTP says it and for gRPC's own retries as they read it.

    Where a call fails because this worker is not ready, its caller should rather try another one, and at once.
    """
    seconds = dict(extra_headers(error, status)).get(b"retry-after")
    if seconds is None:
        return ()
    return ("retry-after", seconds.decode()), ("grpc-retry-pushback-ms", str(1000 * int(seconds)))


def parsed(message_type: Any, content: bytes) -> Any:
    """Return the message that `content` is.

    Raises:
        MalformedRequestError: It is none of that type; gRPC itself would call that UNKNOWN.
    """
    try:
        return message_type.FromString(content)
    except DecodeError:
        raise MalformedRequestError("the message is not the protobuf message that this method takes") from None
