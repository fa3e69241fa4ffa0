"""A rollout with its controller, a clock, and counts put where the log's shipper puts them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from database.engine import insert_or_add, insert_or_replace, reading
from registry.gate_record import GATES_TAG, GateKind, GateRecord, GateResult, GateVerdict
from registry.versions import DIGEST_TAG
from rollout import rollouts
from rollout.controller import Controller
from rollout.evidence_tables import ROLLOUT_CELL, ROLLOUT_COUNT, ROLLOUT_WATERMARK
from rollout.history import history
from rollout.plan import Plan
from rollout.rollouts import Rollout
from rollout.serving_state import ServingState
from rollout.serving_store import follow_aliases, serving_epochs, serving_states
from rollout.tables import ROLLOUT
from tests.fakes.registry import FakeRegistry

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
STEP = timedelta(minutes=10)
PLAN: dict[str, Any] = {
    "model": "credit",
    "no_data_after": "1d",
    "steps": [
        {"mode": "shadow", "sample": 0.5, "min_duration": "10m"},
        {"weight": 0.5, "min_duration": "10m"},
        {"mode": "soak", "min_duration": "10m"},
    ],
    "guardrails": [
        {"metric": "error_rate", "margin": 0.02},
        {"metric": "dp_diff", "attribute": "SEX", "reference": "1", "margin": 0.1},
    ],
}

CANARY: dict[str, Any] = {"steps": [PLAN["steps"][1]]}
"""Its canary alone."""


@dataclass
class Steering:
    """Two databases, a registry, and the time, which only tests move; `elapsed` within a tick, in seconds."""

    control: Engine
    log: Engine
    registry: FakeRegistry
    now: datetime = NOON
    ready: bool = True
    rollout_id: str = ""
    elapsed: float = 0.0
    _holders: int = field(default=0)

    def start(self, **changes: Any) -> Rollout:
        """Start a rollout of `PLAN` with some keys changed."""
        self.follow()
        plan = Plan.parse(PLAN | changes)
        started = rollouts.start(self.control, plan, self.registry, actor="ada", now=self.now)
        self.rollout_id = started.id
        return started

    def follow(self) -> None:
        """Look at the registry's aliases, as the Companion does."""
        follow_aliases(self.control, self.registry.aliased(), self.now, seen=serving_epochs(self.control))

    def controller(self) -> Controller:
        """Return a controller as another replica has one."""
        self._holders += 1
        return Controller(
            self.control,
            self.log,
            self.registry,
            holder=f"replica-{self._holders}",
            is_ready=lambda _model: self.ready,
            clock=lambda: self.elapsed,
        )

    def tick(self, controller: Controller, after: timedelta = STEP) -> str:
        """Let time pass, let a controller act, and return the rollout's state."""
        self.now += after
        controller.tick(self.now)
        return self.state()

    def found(self) -> Rollout:
        """Return the rollout."""
        return rollouts.find(self.control, self.rollout_id)

    def state(self) -> str:
        """Return the rollout's state."""
        return self.found().state

    def served(self) -> ServingState:
        """Return what serves."""
        return serving_states(self.control)["credit"]

    def champion(self) -> str:
        """Return the version that the alias points at."""
        (version,) = [one.version for one in self.registry.aliased() if "champion" in one.aliases]
        return version

    def see(
        self,
        *,
        n: int = 20_000,
        challenger: int | None = None,
        selected: tuple[float, float] = (0.5, 0.5),
        errors: float = 0.01,
    ) -> None:
        """Count units of the serving state's epoch, half of each sex; the control selects half of either.

        Args:
            n: In the control, and in the challenger's arm unless that is said.
            challenger: In the challenger's arm.
            selected: The challenger's selection rates of the two sexes.
            errors: The challenger's share of errors; the control has 1 %.
        """
        state = self.served()
        ours = n if challenger is None else challenger
        if state.shadow_bp:
            self._count("paired", ours)
            self._cell("error_rate", "paired", "", ours, (errors - 0.01) * ours, ours * 0.02)
            for sex, rate in zip("12", selected, strict=True):
                half = ours // 2
                self._cell("dp_diff:SEX", "paired", sex, half, (rate - 0.5) * half, half * (abs(rate - 0.5) + 0.02))
            return
        for arm, size, wrong, rates in (
            ("challenger", ours, errors, selected),
            ("control", n, 0.01, (0.5, 0.5)),
        ):
            self._count(arm, size)
            self._cell("error_rate", arm, "", size, wrong * size, wrong * size)
            for sex, rate in zip("12", rates, strict=True):
                self._cell("dp_diff:SEX", arm, sex, size // 2, rate * size // 2, rate * size // 2)

    def _count(self, arm: str, n: int) -> None:
        with self.log.begin() as connection:
            for attribute, group, size in (("", "", n), ("SEX", "1", n // 2), ("SEX", "2", n // 2)):
                row = {"rollout_id": self.rollout_id, "epoch": self.served().epoch, "arm": arm}
                counts = {"assigned": size, "completed": size, "due": 0, "labelled": 0, "crossed": 0}
                named = row | {"attribute": attribute, "group": group} | counts
                connection.execute(insert_or_add(connection, ROLLOUT_COUNT), named)
            mark = {"rollout_id": self.rollout_id, "served_at": self.now}
            connection.execute(insert_or_replace(connection, ROLLOUT_WATERMARK), mark)

    def _cell(self, guardrail: str, arm: str, group: str, n: int, total: float, squares: float) -> None:
        key = {"rollout_id": self.rollout_id, "guardrail": guardrail, "epoch": self.served().epoch, "arm": arm}
        values = {"part": "", "group": group, "n": n, "total": total, "squares": squares}
        with self.log.begin() as connection:
            connection.execute(insert_or_add(connection, ROLLOUT_CELL), key | values)

    def row(self) -> Any:
        """Return the rollout's row."""
        with reading(self.control) as connection:
            return connection.execute(select(ROLLOUT).where(ROLLOUT.c.id == self.rollout_id)).one()

    def actions(self) -> list[str]:
        """Return what was done to the rollout."""
        return [event.action for event in history(self.control, self.rollout_id)]


Canary = tuple[Steering, Controller]


def credit_registry(folder: Path) -> FakeRegistry:
    """Return a registry of versions 1, the champion, to 4, which its gates refuse; 2 is the challenger."""
    registry = FakeRegistry()
    for number in ("1", "2", "3", "4"):
        verdict = GateVerdict.FAIL if number == "4" else GateVerdict.PASS
        gate = GateResult(kind=GateKind.QUALITY, metric="roc_auc", value=0.6, limit=0.7, verdict=verdict)
        record = GateRecord(digest=f"sha256:{number}", results=(gate,))
        registry.register("credit", folder, {DIGEST_TAG: record.digest, GATES_TAG: record.to_json()})
    registry.set_alias("credit", "champion", "1")
    registry.set_alias("credit", "challenger", "2")
    return registry
