"""Which version a remote says it is, compared with the one that was registered."""

from __future__ import annotations

from remotes.client import Described
from remotes.definition import RemoteDefinition


def changed_version(definition: RemoteDefinition, described: Described) -> str | None:
    """Return the version that the server answers with now, where its metadata say another than was registered.

    A server that reports none is taken at its word of then. One that lists several is unchanged while the
    registered one is among them: its answers say which of them it was.
    """
    if not described.versions or definition.version in described.versions:
        return None
    return described.versions[-1]


def changed_words(definition: RemoteDefinition, reported: str) -> str:
    """Return what is told of a remote that answers with another version than was registered."""
    before = "no version" if definition.version is None else f"version {definition.version}"
    return (
        f"the remote server reports version {reported}, and was registered with {before}; register what it is now "
        "with `fairmind variants add`, or put the other one back"
    )
