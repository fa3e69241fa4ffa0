"""Which version a remote says it is, compared with the one that was registered."""

from __future__ import annotations

from remotes.client import Described
from remotes.definition import RemoteDefinition


def version_of_another(version: str, reported: str) -> str:
    """Return what answers of version `version` here are called whose server reports that it is `reported`.

    >>> version_of_another("7", "4")
    '7@4'
    """
    return f"{version}@{reported}"


def is_of_another(version: str) -> bool:
    """Return whether a logged version is that of a server that reported another one than was registered.

    >>> is_of_another("7@4"), is_of_another("7")
    (True, False)
    """
    return "@" in version


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
