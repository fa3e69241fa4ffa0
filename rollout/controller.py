"""The controller: looks at every active rollout, and does what its plan says. Of all replicas' one acts.

A tick reads, judges and decides outside of transactions, and then writes all of it in one: the evaluation, the
change of state, what serves from then on, and what is to be done in the registry. Whoever dies, at any line, leaves
the old state or the new one, and the next tick, of whichever replica, goes on from there.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, select, update

from database.engine import reading
from registry.registry import Registry
from rollout import evaluations
from rollout.decisions import FOLLOWED_AFTER, Move, decide, end, errors_in_a_row
from rollout.errors import InvalidPlanError, LeaseLostError, RolloutConflictError
from rollout.evaluating import Evaluation, evaluate
from rollout.evaluations import StoredEvaluation, inputs_of, with_holds
from rollout.evidence import Evidence
from rollout.evidence_store import read_evidence
from rollout.holds import OUTSIDE, Hold, kind_of, told
from rollout.lease import Held, acquire, check, release
from rollout.maturity import mature
from rollout.outbox import deliver, has_work
from rollout.plan import Plan
from rollout.serving_store import epochs_of
from rollout.states import ENDING, State
from rollout.tables import ROLLOUT
from rollout.transitions import carry_out, progress_of

LEASE: Final = "rollout-controller"
"""The name of the lease of whoever decides."""

LASTING: Final = timedelta(seconds=10)
"""How long others wait for a controller of which nothing is heard."""

_MATURING: Final = timedelta(seconds=3)
"""How long units are matured in one look at most: the lease has to last until what was found is written."""

_OUTBOX_LEASE: Final = "rollout-outbox"
_OUTBOX_LASTING: Final = timedelta(seconds=60)
_NOTHING: Final = Evaluation((), (), {}, 0.0, {}, None, ())

_log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
"""What time it is."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A rollout as it was read, and what was found in it, and when."""

    row: Row[Any]
    plan: Plan
    at: datetime
    evaluation: Evaluation
    inputs: dict[str, Any]


class Controller:
    """Decides about the rollouts of a deployment.

    Args:
        control: The control database.
        log: The prediction log.
        registry: Where aliases are moved and tags written.
        holder: The name of this process, which no other has.
        is_ready: Whether a model's pinned versions can be served; a rollout is pending until they can.
        clock: Seconds that never go back. What is written is dated when it is written, not when the tick began.
    """

    def __init__(
        self,
        control: Engine,
        log: Engine,
        registry: Registry,
        *,
        holder: str,
        is_ready: Callable[[str], bool] = lambda _model: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._control, self._log, self._registry = control, log, registry
        self._holder, self._is_ready, self._clock = holder, is_ready, clock

    def tick(self, now: datetime) -> bool | None:
        """Look at every active rollout whose time has come; return whether this process is the one that acts.

        None where no rollout is active: nobody has to act. Never waits for the registry: what is to be done there
        is done by `deliver`.

        Raises:
            SQLAlchemyError: The control database is away.
        """
        began = self._clock()

        def clock() -> datetime:
            return now + timedelta(seconds=self._clock() - began)

        with reading(self._control) as connection:
            active = select(ROLLOUT.c.id).where(ROLLOUT.c.finished_at.is_(None)).order_by(ROLLOUT.c.created_at)
            names = list(connection.execute(active).scalars())
        for rollout_id in names:
            # Anew for each: the one before may have taken its time.
            held = acquire(self._control, LEASE, self._holder, clock(), LASTING)
            if held is None:
                return False
            try:
                self._step(rollout_id, held, clock)
            except RolloutConflictError:
                continue  # somebody decided at this moment: the next tick sees what
            except LeaseLostError:
                return False
        return True if names else None

    def deliver(self, now: datetime) -> bool:
        """Do in the registry what was decided; return whether nothing is left. At most one replica does.

        Raises:
            SQLAlchemyError: The control database is away.
        """
        if not has_work(self._control):
            return True
        held = acquire(self._control, _OUTBOX_LEASE, self._holder, now, _OUTBOX_LASTING)
        if held is None:
            return False
        try:
            return deliver(self._control, self._registry, now, held) == 0
        except LeaseLostError:
            return False
        finally:
            release(self._control, held, now)

    def stop(self, now: datetime) -> None:
        """Let another replica act at once."""
        held = acquire(self._control, LEASE, self._holder, now, LASTING)
        if held is not None:
            release(self._control, held, now)

    def _step(self, rollout_id: str, held: Held, clock: Clock) -> None:
        now = clock()
        with reading(self._control) as connection:
            row = connection.execute(select(ROLLOUT).where(ROLLOUT.c.id == rollout_id)).one()
            epochs = epochs_of(connection, rollout_id)
            last = evaluations.newest(connection, rollout_id)
        if row.state in ENDING:
            self._write(row, None, end(progress_of(row), now), held, clock)
            return
        try:
            plan = Plan.parse(row.plan)
            if row.state == State.PENDING:
                self._begin(row, plan, held, clock)
            elif not plan.watched:
                self._write(row, plan, _decided(row, plan, _NOTHING, now), held, clock)
            elif _is_due(plan, row, last, now):
                look = self._look(row, plan, epochs, held, clock)
                self._decide(look, held, clock)
        except (RolloutConflictError, LeaseLostError):
            raise
        except (InvalidPlanError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            # A fault of ours, not of a database that is away: nobody watches it, so nobody is served by it.
            places = "".join(traceback.format_tb(error.__traceback__))
            _log.error("rollout '%s' fails safe: %s\n%s", rollout_id, type(error).__name__, places)
            move = Move(State.FAILED_SAFE, row.step_index, f"the controller failed: {type(error).__name__}")
            self._write(row, None, move, held, clock)

    def _begin(self, row: Row[Any], plan: Plan, held: Held, clock: Clock) -> None:
        is_due = plan.start_at is None or clock() >= plan.start_at
        if is_due and self._is_ready(row.model):
            self._write(row, plan, decide(plan, progress_of(row), _NOTHING, clock()), held, clock)

    def _look(self, row: Row[Any], plan: Plan, epochs: dict[int, int], held: Held, clock: Clock) -> _Look:
        """Return what the evidence says now; where it cannot be had, that is what was found."""
        entered_at = progress_of(row).entered_at
        moved = [hold for hold in row.held or () if kind_of(hold) in OUTSIDE]
        try:
            mature(self._log, row.id, plan, clock(), _MATURING)
            self._renew(held, clock())
            with reading(self._log) as connection:
                evidence = read_evidence(connection, plan, row.id, epochs)
            now = clock()
            found = evaluate(plan, row.step_index, evidence, now, entered_at=entered_at)
        except LeaseLostError:
            raise
        except Exception as error:  # whatever it was, a rollout that nobody can watch is held
            places = "".join(traceback.format_tb(error.__traceback__))
            _log.warning("rollout '%s' cannot be evaluated: %s\n%s", row.id, type(error).__name__, places)
            failed = [told(Hold.ERROR, f"the evidence cannot be evaluated: {type(error).__name__}"), *moved]
            inputs = inputs_of(Evidence(), entered_at, failed, failed=True)
            return _Look(row, plan, clock(), with_holds(_NOTHING, failed), inputs)
        return _Look(row, plan, now, with_holds(found, moved), inputs_of(evidence, entered_at, moved))

    def _renew(self, held: Held, now: datetime) -> None:
        """Have the lease last from now on.

        Raises:
            LeaseLostError: Somebody else took it, if only for a while.
        """
        if acquire(self._control, held.name, held.holder, now, LASTING) != held:
            raise LeaseLostError(held.name)

    def _decide(self, look: _Look, held: Held, clock: Clock) -> None:
        progress = progress_of(look.row)
        move = _decided(look.row, look.plan, look.evaluation, look.at)
        errors = errors_in_a_row(progress, look.evaluation)
        with self._writing(look.row, held) as connection:
            evaluation_id = evaluations.store(
                connection,
                look.row.id,
                look.evaluation,
                look.inputs,
                state=look.row.state,
                step=look.row.step_index,
                now=look.at,
            )
            if errors != look.row.errors:
                connection.execute(update(ROLLOUT).where(ROLLOUT.c.id == look.row.id).values(errors=errors))
            if move is not None:
                carry_out(connection, look.row, look.plan, move, now=clock(), evaluation_id=evaluation_id)
        if move is not None:
            _log.info("rollout '%s': %s: %s", look.row.id, move.to, move.reason)

    def _write(self, row: Row[Any], plan: Plan | None, move: Move | None, held: Held, clock: Clock) -> None:
        if move is not None:
            with self._writing(row, held) as connection:
                carry_out(connection, row, plan, move, now=clock())
            _log.info("rollout '%s': %s: %s", row.id, move.to, move.reason)

    @contextmanager
    def _writing(self, row: Row[Any], held: Held) -> Iterator[Connection]:
        """Yield a transaction in which the lease is still ours and the rollout as it was read."""
        with self._control.begin() as connection:
            check(connection, held)
            version = connection.execute(select(ROLLOUT.c.version).where(ROLLOUT.c.id == row.id)).scalar()
            if version != row.version:
                raise RolloutConflictError(f"rollout '{row.id}' was changed by somebody else")
            yield connection


def _decided(row: Row[Any], plan: Plan, evaluation: Evaluation, now: datetime) -> Move | None:
    """Return what happens now. Nothing by itself to a manual split that was started before those could end.

    The `max_duration` that is stored with such a one is a default that nobody chose; plans since have a `start_at`.
    """
    if plan.is_manual and "start_at" not in row.plan:
        return None
    return decide(plan, progress_of(row), evaluation, now)


def _is_due(plan: Plan, row: Row[Any], last: StoredEvaluation | None, now: datetime) -> bool:
    """Return whether it is time to look again: after the plan's interval, and when something is waited for."""
    if last is None or last.step != row.step_index or last.state != row.state:
        return True
    if row.state == State.PROMOTING and now - row.step_entered_at >= FOLLOWED_AFTER:
        return True
    has_new_approval = row.state == State.AWAITING_APPROVAL and row.approved_by is not None and last.at < now
    return has_new_approval or not timedelta(0) <= now - last.at < plan.eval_interval
