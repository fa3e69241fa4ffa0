"""The file of keys that workers follow, as the Companion would write it."""

from __future__ import annotations

from typing import Any

from access.key_file import FiledKey, as_bytes, replace_file
from access.scopes import Scope
from access.tokens import Token


def write(service: Any, *given: tuple[Token, list[str]], rate: float | None = None) -> None:
    """Replace the keys of a service by those given, each with its scopes and all of the same rate."""
    keys = [
        FiledKey(id=token.id, hash=token.hash.hex(), scopes=tuple(map(Scope, scopes)), requests_per_second=rate)
        for token, scopes in given
    ]
    replace_file(service.keys_file, as_bytes(keys))
