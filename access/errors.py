"""Access errors.

AccessError
├── KeyRequiredError      a key is needed and the request has none
├── KeyRefusedError       the key is unknown, revoked or expired
├── ScopeMissingError     the key is good and may not do this
├── RateLimitError        the key was used more often than it may be; safe to retry
├── KeysUnavailableError  the keys cannot be read, so that none can be checked; safe to retry
├── KeyNotFoundError      there is no key of this id
└── InvalidKeyError       a key cannot be made as asked for
"""

from __future__ import annotations

from collections.abc import Iterable

from access.scopes import Scope


class AccessError(Exception):
    """Base of everything this package raises on purpose; no message holds a key."""


class KeyRequiredError(AccessError):
    """A key is needed and the request has none."""

    def __init__(self) -> None:
        super().__init__(
            "this needs an API key: send `Authorization: Bearer fmk_…`; `fairmind keys create` makes one"
        )


class KeyRefusedError(AccessError):
    """The key is unknown, revoked or expired; which of the first two it is, nobody is told."""

    def __init__(self, *, expired: bool = False) -> None:
        super().__init__(
            "the API key has expired; ask for a new one" if expired else "the API key is not, or no longer, valid"
        )


class ScopeMissingError(AccessError):
    """The key is good and may not do this; `needed` are the scopes of which any one would do."""

    def __init__(self, key_id: str, needed: Iterable[Scope]) -> None:
        self.key_id, self.needed = key_id, tuple(sorted(needed))
        names = " or ".join(f"'{scope}'" for scope in self.needed)
        super().__init__(f"key {key_id} has not the scope {names} that this needs")


class RateLimitError(AccessError):
    """The key was used more often than it may be; `retry_after` is in seconds."""

    def __init__(self, key_id: str, requests_per_second: float, retry_after: float) -> None:
        self.key_id, self.retry_after = key_id, retry_after
        super().__init__(f"key {key_id} may send {requests_per_second:g} requests per second; retry later")


class KeysUnavailableError(AccessError):
    """The keys cannot be read, so that none can be checked; safe to retry."""

    def __init__(self) -> None:
        super().__init__("API keys cannot be checked at the moment; retry in a moment")


class KeyNotFoundError(AccessError):
    """There is no key of this id."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(f"there is no key '{key_id}'; `fairmind keys list` shows those there are")


class InvalidKeyError(AccessError):
    """A key cannot be made as asked for."""
