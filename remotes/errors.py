"""Remote errors.

RemoteError
├── RemoteUnavailableError    nobody answers, or it is given a rest after failures; safe to retry later
├── RemoteTimeoutError        it did not answer in time
├── RemoteFailedError         it answered that it failed
├── RemoteMismatchError       what it answered fits neither the rows nor the signature
├── RemoteRefusedError        it refused these very rows
└── InvalidRemoteError        what is said of a remote server makes no remote variant
"""

from __future__ import annotations

from inference.errors import InferenceError, ModelTimeoutError, RowsRefusedError


class RemoteError(InferenceError):
    """Base of everything this package raises on purpose."""


class RemoteUnavailableError(RemoteError):
    """Nobody answers, or it is given a rest after failures; `retry_after` is when to try again, in seconds."""

    def __init__(self, reason: str, retry_after: float = 1.0) -> None:
        self.reason, self.retry_after = reason, retry_after
        super().__init__(f"the remote server {reason}")


class RemoteTimeoutError(ModelTimeoutError, RemoteError):
    """It did not answer in time; `seconds` is what it was given. What it was sent may still be scored there."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.args = (f"the remote server did not answer within {seconds:.2g} s",)


class RemoteFailedError(RemoteError):
    """It answered that it failed; `said` is a status, never its own words, which may quote the rows."""

    def __init__(self, said: str) -> None:
        self.said = said
        super().__init__(f"the remote server failed on these rows: {said}")


class RemoteMismatchError(RemoteError):
    """What it answered fits neither the rows nor the signature; `reason` names the part, never a value."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the remote server's answer does not fit: {reason}")


class RemoteRefusedError(RowsRefusedError, RemoteError):
    """It refused these very rows; what it said is for the client who sent them and in no log.

    `by_server` is False where they were not even sent: its protocol cannot hold them.
    """

    def __init__(self, reason: str, *, by_server: bool = False) -> None:
        self.by_server = by_server
        super().__init__("", reason)
        self.args = (f"the remote server refuses these rows: {reason}",)


class InvalidRemoteError(RemoteError):
    """What is said of a remote server makes no remote variant; the message says what is missing and how to give
    it."""
