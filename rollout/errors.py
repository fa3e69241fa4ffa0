"""Rollout errors.

RolloutError
├── RolloutNotFoundError      no rollout has this id
├── RolloutConflictError      the rollout moved on, or its model already has an active one
├── InvalidPlanError          the plan cannot be carried out; says which key is wrong
└── NotServedError            the model has no serving version
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


class NotServedError(RolloutError):
    """The model has no serving version."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"model '{model}' is not served: give a version the alias 'champion' "
            f"(`fairmind models promote {model}/<version>`)"
        )
