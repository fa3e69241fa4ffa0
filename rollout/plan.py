"""Rollout plans: what to compare, in which steps, and what must not get worse."""

from __future__ import annotations

import hashlib
import itertools
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from monitoring.times import Time
from rollout.durations import Duration
from rollout.errors import InvalidPlanError
from rollout.guardrail import Guardrail, Stage
from rollout.replay_gate import ReplayGate
from rollout.steps import Step

MAX_HOLDBACK = 0.5
"""Largest share of units that a soak may leave with the champion."""

Version = Annotated[str, Field(min_length=1, max_length=50)]


class Plan(BaseModel):
    """What a rollout does; frozen, and known by the hash of its content.

    The smallest plan is a manual split, `model` and one step with a weight: no guardrails, it never advances by
    itself. `challenger` is a version number; left out, it is the version with the alias `challenger`;
    `challengers` names several. It begins at `start_at`, or at once. `goals` make it an experiment: they are
    measured and decide nothing, nothing is promoted by itself, and it ends at the step's `max_duration`.

    `replay` asks for a replay of the challenger on logged traffic before it is started.

    `unit` is what is analysed: the first prediction of each unit, or each request (`request`, only sound where
    requests are randomised one by one: `on_missing_key: request` and no units). `on_missing_key` says who answers
    rows without a unit: the champion, or whom the request's own id is assigned to; a manual split does the latter
    where nothing is said.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str = Field(min_length=1, max_length=200)
    challenger: Version | None = None
    challengers: tuple[Version, ...] | None = Field(None, min_length=1, max_length=9)
    start_at: Time | None = None
    steps: tuple[Step, ...] = Field(min_length=1, max_length=20)
    guardrails: tuple[Guardrail, ...] = Field((), max_length=30)
    goals: tuple[Guardrail, ...] = Field((), max_length=30)
    unit: Literal["unit", "request"] = "unit"
    on_missing_key: Literal["champion", "request"] | None = None
    holdback: float = Field(0.05, gt=0, le=MAX_HOLDBACK)
    alpha_rollback: float = Field(0.05, gt=0, lt=0.5)
    alpha_promote: float = Field(0.05, gt=0, lt=0.5)
    alpha_srm: float = Field(0.001, gt=0, lt=0.5)
    on_srm: Literal["hold", "rollback"] = "hold"
    label_maturity: Duration = timedelta(days=7)
    label_coverage_min: float = Field(0.8, ge=0, le=1)
    attribute_coverage_min: float = Field(0.8, ge=0, le=1)
    selective_labels: bool = False
    eval_interval: Duration = timedelta(seconds=30)
    on_inconclusive: Literal["hold", "rollback", "require_approval"] = "hold"
    on_no_data: Literal["hold", "rollback"] = "hold"
    no_data_after: Duration = timedelta(minutes=15)
    rollback_cooldown: Duration = timedelta(hours=1)
    four_eyes: bool = False
    replay: ReplayGate | None = None

    @model_validator(mode="after")
    def _can_be_carried_out(self) -> Self:
        if self.challenger is not None and self.challengers is not None:
            raise ValueError("give `challenger` for one, or `challengers` for several")
        count = len(self.challengers or ("",))
        if len(set(self.challengers or ())) != len(self.challengers or ()):
            raise ValueError("`challengers` names a version twice")
        for step in self.steps:
            if step.mode == "canary" and len(step.weights_bp) != count:
                raise ValueError(f"a canary step needs `weights`, one for each of the {count} challengers")
            if max(step.weights_bp) > 10_000 // (count + 1):
                raise ValueError(f"with {count} challengers each weight is at most 1/{count + 1}")
        order = {"shadow": 0, "canary": 1, "soak": 2}
        if any(order[one.mode] > order[next_.mode] for one, next_ in itertools.pairwise(self.steps)):
            raise ValueError("steps go from shadow to canary to soak")
        names = [guardrail.name for guardrail in (*self.guardrails, *self.goals)]
        if len(set(names)) != len(names):
            raise ValueError("two guardrails have the same name; give one an `id`")
        if not self.guardrails and (len(self.steps) > 1 or self.steps[0].mode != "canary"):
            raise ValueError("a plan without guardrails is a manual split: one step, with a weight")
        if self.goals and len(self.steps) > 1:
            raise ValueError("an experiment, which has goals, has one step")
        # Those who come back would be in one's cohort more than in another's, and shadow scores the first alone.
        if count > 1 and (len(self.steps) > 1 or self.steps[0].mode != "canary"):
            raise ValueError("several challengers are compared in one canary step")
        if self.unit == "request" and self.on_missing_key == "champion":
            raise ValueError("`unit: request` analyses rows without units: set on_missing_key to request")
        return self

    @property
    def is_manual(self) -> bool:
        """Whether it never advances by itself."""
        return not self.guardrails

    @property
    def promotes(self) -> bool:
        """Whether what has passed is promoted by itself: not where nothing must, nor one of several challengers."""
        is_one = len(self.challengers or ("",)) == 1
        return is_one and not self.goals and any(one.required for one in self.guardrails)

    @property
    def ends_after(self) -> timedelta | None:
        """When it ends by itself: an experiment, and a manual split with a `max_duration`.

        Outcomes that come later are in no result, so an experiment about them lasts longer where it does not say.
        """
        step = self.steps[0]
        if self.goals and step.max_duration is None:
            is_labelled = any(one.counted is Stage.LABELLED for one in self.goals)
            return step.longest + self.label_maturity if is_labelled else step.longest
        return step.max_duration if self.goals or self.is_manual else None

    @property
    def missing_key(self) -> Literal["champion", "request"]:
        """Who answers rows without a unit."""
        if self.on_missing_key is not None:
            return self.on_missing_key
        return "request" if self.is_manual or self.unit == "request" else "champion"

    @property
    def holdback_bp(self) -> int:
        """The share of units that a soak leaves with the champion, in basis points."""
        return round(self.holdback * 10_000)

    @property
    def watched(self) -> tuple[Guardrail, ...]:
        """Guardrails and goals, whose statistics are all kept."""
        return (*self.guardrails, *self.goals)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The protected attributes that any of them compares, sorted."""
        return tuple(sorted({one.attribute for one in self.watched if one.attribute is not None}))

    @property
    def has_labelled(self) -> bool:
        """Whether any guardrail waits for outcomes."""
        return any(one.counted is Stage.LABELLED for one in self.guardrails)

    @property
    def digest(self) -> str:
        """The SHA-256 of its content, in hexadecimal."""
        # What is not asked for is not in it. Keys that were added since change the hash of a plan that is started
        # again; a rollout keeps the one it was started with.
        unset = {"replay"} if self.replay is None else None
        return hashlib.sha256(self.model_dump_json(exclude=unset).encode()).hexdigest()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a plan from YAML.

        Raises:
            InvalidPlanError: The file cannot be read or a key is wrong; says which.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InvalidPlanError(f"{path} cannot be read as YAML: {error}") from error
        return cls.parse(content, where=str(path))

    @classmethod
    def parse(cls, content: object, where: str = "plan") -> Self:
        """Check a plan's content.

        Raises:
            InvalidPlanError: A key is wrong; says which.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise InvalidPlanError(f"{where}: {key}: {first['msg']}") from error
