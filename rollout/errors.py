"""Rollout errors.

RolloutError
├── RolloutNotFoundError      no rollout has this id
├── RolloutConflictError      the rollout moved on, or its model already has an active one
├── InvalidPlanError          the plan cannot be carried out; says which key is wrong
└── OverrideRefusedError      a signed override is malformed, expired, or not signed for this
"""

from __future__ import annotations


class RolloutError(Exception):
    """Base of everything this package raises on purpose."""


class RolloutNotFoundError(RolloutError):
    """No rollout has this id."""

    def __init__(self, rollout_id: str) -> None:
        self.rollout_id = rollout_id
        super().__init__(f"there is no rollout '{rollout_id}'; `fairmind rollout list` shows those there are")


class RolloutConflictError(RolloutError):
    """The rollout moved on, or its model already has an active one."""


class InvalidPlanError(RolloutError):
    """The plan cannot be carried out; says which key is wrong."""


class OverrideRefusedError(RolloutError):
    """A signed override is malformed, expired, or not signed for this."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the override X-Fairmind-Override is refused: {reason}")
