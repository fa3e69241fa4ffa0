"""Source errors.

SourceError
├── SourceNotFoundError        no such file, or no such file inside the wheel
├── SourceFormatError          the file is there and cannot be read as a table
├── SourceUnavailableError     the index, database or service cannot be reached; safe to retry
├── HashMismatchError          what was fetched or stored is not what was pinned
└── SourceSettingsError        the description of the source cannot work (variable unset, query refused)
"""

from __future__ import annotations


class SourceError(Exception):
    """Base of everything this package raises on purpose."""


class SourceNotFoundError(SourceError):
    """There is no such file; `what` names it."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what = what
        super().__init__(f"{what} does not exist; {remedy}")


class SourceFormatError(SourceError):
    """The file `what` cannot be read as a table."""

    def __init__(self, what: str, reason: str) -> None:
        self.what, self.reason = what, reason
        super().__init__(f"cannot read {what} as a table: {reason}")


class SourceUnavailableError(SourceError):
    """The place the data comes from cannot be reached now."""

    def __init__(self, what: str, reason: str) -> None:
        self.what, self.reason = what, reason
        super().__init__(f"cannot fetch {what}: {reason}; check the network and try again")


class HashMismatchError(SourceError):
    """What was fetched or stored differs from what was pinned; it was not used."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what = what
        super().__init__(f"{what} is not the file that was pinned by its sha256; {remedy}")


class SourceSettingsError(SourceError):
    """The description of the source cannot work as it stands."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
