"""What every protocol's client does, whichever it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from inference.runtime import EncodedColumns
from remotes.errors import RemoteMismatchError

Params = Mapping[str, Any]

_VERSION: Final = re.compile(r"[\x21-\x7e]{1,100}")
"""It becomes a header of ours, a column and a line of the log: what it could break out of them with is refused."""


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
    """Return a version as a server reports it, None where that is nothing, or nothing that has a name.

    Raises:
        RemoteMismatchError: It is a text that no header or column can hold.
    """
    text = str(version) if type(version) in {str, int, float} else ""
    if text and not _VERSION.fullmatch(text):
        raise RemoteMismatchError("its version is no printable text of at most 100 characters")
    return text or None


def said_versions(versions: Any) -> tuple[str, ...]:
    """Return the versions that a server lists.

    Raises:
        RemoteMismatchError: It is no list, or one is a text that no header or column can hold.
    """
    if versions is None:
        return ()
    if not isinstance(versions, Sequence) or isinstance(versions, str | bytes):
        raise RemoteMismatchError("its versions are no list")
    return tuple(said for one in versions if (said := said_version(one)) is not None)
