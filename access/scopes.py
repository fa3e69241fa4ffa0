"""What a key may do."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """One thing a key may be made for; docs/security.md lists the routes of each."""

    PREDICT = "predict"
    OUTCOME = "outcome"
    ATTRIBUTE = "attribute"
    READ = "read"
    BIAS = "bias"
    ROLLOUT = "rollout"
    APPROVE = "approve"
    ADMIN = "admin"


def granted(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Return all that a key of these scopes may do: `admin` is all of them, every other one is itself.

    >>> sorted(granted([Scope.PREDICT, Scope.READ]))
    [<Scope.PREDICT: 'predict'>, <Scope.READ: 'read'>]
    >>> granted([Scope.ADMIN]) == frozenset(Scope)
    True
    """
    given = frozenset(scopes)
    return frozenset(Scope) if Scope.ADMIN in given else given
