"""Rollout errors.

RolloutError
├── RolloutNotFoundError      no rollout has this id
├── RolloutConflictError      the rollout moved on, or its model already has an active one
├── InvalidPlanError          the plan cannot be carried out; says which key is wrong
│   ├── NoUnitsError          the traffic carries no units, and the plan assigns by them
│   └── UnderpoweredPlanError it could not pass at the traffic there is, whatever the challenger is like
├── RolloutGateError          a guardrail has not passed, or an approval is not this person's to give
│   └── ReplayGateError       no replay of logged traffic stands for the challenger
├── LeaseLostError            another controller acts; nothing was written
└── OverrideRefusedError      a signed override is malformed, expired, or not signed for this
"""

from __future__ import annotations

from collections.abc import Sequence


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


class RolloutGateError(RolloutError):
    """A guardrail has not passed, or an approval is not this person's to give."""


class NoUnitsError(InvalidPlanError):
    """The traffic carries no units, and the plan assigns by them."""

    def __init__(self, model: str, rows: int) -> None:
        self.model, self.rows = model, rows
        super().__init__(
            f"none of the {rows:,} rows that '{model}' was asked for in the last day carried a unit, and without "
            "one the champion answers, in no comparison: send `unit` (or the header X-Fairmind-Unit), or let the "
            "request's own id decide with `on_missing_key: request` and `unit: request`"
        )


class UnderpoweredPlanError(InvalidPlanError):
    """It could not pass at the traffic there is, whatever the challenger is like."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(
            f"the plan cannot pass at the traffic there is: {self.problems[0]}{more}; `fairmind rollout lint` says "
            "all of it, and an override starts the plan nevertheless"
        )


class ReplayGateError(RolloutGateError):
    """No replay of logged traffic stands for the challenger, or one found harm."""


class LeaseLostError(RolloutError):
    """Another controller acts; nothing was written."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"another process took over '{name}'")


class OverrideRefusedError(RolloutError):
    """A signed override is malformed, expired, or not signed for this."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the override X-Fairmind-Override is refused: {reason}")
