"""What every protocol's client does, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from inference.runtime import EncodedColumns

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: its outputs by name (None: the only one, which has none), arrays or lists with one
    entry per row; and the version that it says answered, None where it says none."""

    outputs: Mapping[str | None, Any]
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output as a server's metadata describe it; `classes` only where they say so."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    classes: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Described:
    """What a server says of its model; nothing where its protocol has no words for it. `versions` are those that it
    can be asked for, the one that answers last."""

    versions: tuple[str, ...] = ()
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()


class RemoteClient(Protocol):
    """Calls one remote model. Belongs to one event loop."""

    async def score(
        self, columns: EncodedColumns, rows: int, *, seconds: float, params: Params | None = None
    ) -> Answer:
        """Return the answer to `rows` rows, within so many seconds.

        A call that nothing was sent for, or nothing of an answer came back from, is repeated once; never one that
        took too long.

        Raises:
            RemoteError: There is none, and why.
        """
        ...

    async def describe(self, *, seconds: float) -> Described:
        """Return what the server says of its model, once it says that it is ready.

        Raises:
            RemoteError: It does not.
        """
        ...

    async def close(self) -> None:
        """End its connections."""
        ...


def said_version(version: Any) -> str | None:
    """Return a version as a server reports it, None where that is nothing, or nothing that has a name."""
    return str(version) if type(version) in {str, int, float} and version != "" else None
