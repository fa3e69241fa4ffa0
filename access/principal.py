"""Who sends a request, as far as a key tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from access.scopes import Scope


@dataclass(frozen=True, slots=True)
class Principal:
    """The key that a request came with, and all it may do; `id` is empty where no key was asked for."""

    id: str
    scopes: frozenset[Scope]
    sees_variant: bool = field(init=False)
    """Whether answers tell which variant gave them: who only predicts could choose units by it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sees_variant", Scope.READ in self.scopes)


ANYONE: Final = Principal("", frozenset(Scope))
"""Whoever comes without a key where none is asked for: nothing is kept from them."""
