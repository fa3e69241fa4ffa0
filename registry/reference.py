"""How a person or a configuration names a model version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from registry.errors import InvalidReferenceError

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS_CHAMPION = "previous_champion"

_PREFIX = "models:/"
_NAME = re.compile(r"[^/:@\s][^/:@]*")
_ALIAS = re.compile(r"(?!v?\d+$)[A-Za-z0-9_-]+", re.IGNORECASE)
_VERSION = re.compile(r"[1-9]\d*")


@dataclass(frozen=True, slots=True)
class Reference:
    """A model version by number or by alias; exactly one of the two is set.

    >>> str(Reference.parse("models:/credit/3"))
    'credit/3'
    >>> str(Reference.parse("credit"))
    'credit@champion'
    """

    name: str
    version: str | None = None
    alias: str | None = None

    def __post_init__(self) -> None:
        if (self.version is None) == (self.alias is None):
            raise InvalidReferenceError(self.name)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the reference that `text` writes.

        It may be `name@alias`, `name/version`, either of them after `models:/`, or `name` alone: its champion.

        Raises:
            InvalidReferenceError: The text is none of these.
        """
        rest = text.strip().removeprefix(_PREFIX)
        name, at, alias = rest.partition("@")
        if at:
            reference = cls(name, alias=alias) if _ALIAS.fullmatch(alias) else None
        else:
            name, slash, version = rest.partition("/")
            if not slash:
                reference = cls(name, alias=CHAMPION)
            else:
                reference = cls(name, version=version) if _VERSION.fullmatch(version) else None
        if reference is None or not _NAME.fullmatch(name):
            raise InvalidReferenceError(text)
        return reference

    def __str__(self) -> str:
        return f"{self.name}/{self.version}" if self.alias is None else f"{self.name}@{self.alias}"
