"""The keys as a worker knows them: follows the file, says who a token belongs to, and how often it may come."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from typing import Final

from access.errors import KeyRefusedError, KeysUnavailableError, RateLimitError
from access.key_file import FiledKey, parse_keys
from access.principal import Principal
from access.rate import Bucket
from access.scopes import granted
from access.tokens import hash_of, id_in

_log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 0.2


@dataclass(slots=True)
class _Known:
    """A key in use; `bucket` is None where it may come as often as it likes."""

    hash: bytes
    principal: Principal
    expires_at: float | None
    requests_per_second: float | None
    bucket: Bucket | None


_NO_ONE: Final = _Known(secrets.token_bytes(32), Principal("", frozenset()), None, None, None)
"""Whom an unknown id is compared with, so that it takes as long to refuse as a wrong secret."""


class Keyring:
    """Verifies tokens against the file that `fairmind keys` and the Companion write.

    The file is looked at when a token comes and the last look is 0.2 s old: a key that is revoked is refused from
    then on, and a worker that is sent no keys has nothing to do. Where there is no file, or a damaged one, no token
    is accepted.

    Args:
        file: Where the keys are.
        workers: How many processes share a key's rate; each allows an equal part of it.
        wall: Seconds since 1970, by which keys expire.
        clock: Seconds that never go back, by which rates are measured.
    """

    def __init__(
        self,
        file: Path,
        *,
        workers: int = 1,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._workers, self._wall, self._clock = file, workers, wall, clock
        self._keys: Mapping[bytes, _Known] | None = None
        self._content: bytes | None = None
        self._looked_at = -_LOOK_SECONDS

    def admit(self, token: bytes) -> Principal:
        """Return whose token it is, and count the request.

        Raises:
            KeyRefusedError: It is nobody's, or it has expired.
            RateLimitError: It came more often than it may.
            KeysUnavailableError: There are no keys to compare it with.
        """
        now = self._clock()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._look(now)
        if self._keys is None:
            raise KeysUnavailableError
        known = self._keys.get(id_in(token), _NO_ONE)
        if not compare_digest(hash_of(token), known.hash) or known is _NO_ONE:
            raise KeyRefusedError
        if known.expires_at is not None and self._wall() >= known.expires_at:
            raise KeyRefusedError(expired=True)
        if known.bucket is not None:
            wait = known.bucket.take(now)
            if wait:
                raise RateLimitError(known.principal.id, known.requests_per_second or 0.0, wait)
        return known.principal

    def _look(self, now: float) -> None:
        self._looked_at = now
        try:
            content = self._file.read_bytes()
        except OSError:
            self._content = self._keys = None
            return
        if content == self._content:
            return
        self._content = content
        try:
            filed = parse_keys(content)
        except ValueError:
            self._keys = None
            _log.error("the file of API keys is damaged: no key is accepted until it is written again")
            return
        before = self._keys or {}
        self._keys = {key.id.encode(): self._known(key, before.get(key.id.encode()), now) for key in filed}

    def _known(self, key: FiledKey, before: _Known | None, now: float) -> _Known:
        rate = key.requests_per_second
        if before is not None and before.requests_per_second == rate:
            bucket = before.bucket  # what was used of it stays used
        else:
            bucket = None if rate is None else Bucket(rate / self._workers, now)
        principal = Principal(key.id, granted(key.scopes))
        return _Known(bytes.fromhex(key.hash), principal, key.expires_at, rate, bucket)
