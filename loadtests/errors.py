"""Errors of load tests and benchmarks.

LoadTestError
├── HomeMissingError        there is no home with a served model
├── ServerFailedError       a server did not become ready, or ended by itself
├── PeerMissingError        a peer's environment cannot be made
└── AnswersDifferError      a peer does not answer what the service answers: nothing to compare
"""

from __future__ import annotations

from pathlib import Path


class LoadTestError(Exception):
    """Base of everything this package raises on purpose."""


class HomeMissingError(LoadTestError):
    """There is no home with a served model."""

    def __init__(self, home: Path, missing: str) -> None:
        self.home = home
        super().__init__(f"{home} has no {missing}; run `make demo ARGS=--exit` first, or name a home with --home")


class ServerFailedError(LoadTestError):
    """A server did not become ready, or ended by itself; its log says why."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        self.name, self.log = name, log
        super().__init__(f"the server '{name}' {reason}; its log is {log}")


class PeerMissingError(LoadTestError):
    """A peer's environment cannot be made: there is nothing to compare with."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"the environment of '{name}' cannot be made: {reason}")


class AnswersDifferError(LoadTestError):
    """A peer does not answer what the service answers."""

    def __init__(self, name: str, row: int, what: str) -> None:
        self.name, self.row = name, row
        super().__init__(f"'{name}' answers row {row} differently from the service: {what}")
