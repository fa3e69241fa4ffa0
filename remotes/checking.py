"""A look at a remote server from outside of an event loop: is it ready, and with which version?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from inference.signature import Signature, Task
from remotes.client import Described
from remotes.clients import open_client
from remotes.definition import RemoteDefinition, RemoteModel
from remotes.errors import RemoteError
from remotes.reported import changed_version, changed_words

_SECONDS: Final = 2.0
"""The longest that one question of a look may take: other servers wait to be looked at."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look found: the versions that the server reports; what is amiss, None where nothing is; and whether
    that is that it answers with another version than was registered."""

    versions: tuple[str, ...] = ()
    problem: str | None = None
    is_changed: bool = False


def check_remote(definition: RemoteDefinition) -> Checked:
    """Return what the server says of itself; where it says nothing, why."""
    try:
        described = asyncio.run(_describe(definition))
    except RemoteError as error:
        return Checked(problem=str(error))
    except Exception as error:  # one server's oddity must not keep the others from being looked at
        return Checked(problem=f"the remote server cannot be checked: {type(error).__name__}")
    reported = changed_version(definition, described)
    if reported is None:
        return Checked(described.versions)
    return changed(definition, described.versions, reported)


def changed(definition: RemoteDefinition, versions: tuple[str, ...], reported: str) -> Checked:
    """Return that the server, which reports these versions, answers with another than was registered."""
    return Checked(versions, changed_words(definition, reported), is_changed=True)


async def _describe(definition: RemoteDefinition) -> Described:
    nothing = Signature(columns=(), task=Task.OPAQUE)
    client = open_client(RemoteModel.model_construct(definition=definition, signature=nothing))
    try:
        return await client.describe(seconds=min(definition.timeout_seconds, _SECONDS))
    finally:
        await client.close()
