"""The log of decisions checked: nobody altered it, and what its decisions rest on can be found again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from database.engine import reading
from registry.errors import ModelNotFoundError
from registry.reference import Reference
from registry.registry import Registry
from rollout.evaluations import CODE_VERSION, content_id, evaluations, repeat
from rollout.history import canonical, event_hash, event_rows, first_hash
from rollout.outbox import is_waiting
from rollout.plan import Plan
from rollout.rollouts import row_of
from rollout.states import TERMINAL
from rollout.tables import EVALUATION, ROLLOUT
from rollout.transitions import head_tag


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found of one rollout. `bad_row` is the number of the first event that is not as it was written.

    `problem` is None where all is well; `note` says what could not be compared, and why.
    """

    rollout_id: str
    events: int
    evaluations: int
    bad_row: int | None = None
    problem: str | None = None
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {
            "id": self.rollout_id,
            "events": self.events,
            "evaluations": self.evaluations,
            "bad_row": self.bad_row,
            "problem": self.problem,
            "note": self.note,
        }


def verify_log(engine: Engine, registry: Registry, rollout_id: str | None = None) -> list[Verified]:
    """Return what was found of a rollout, or of all of them, oldest first.

    The chain is computed again from the rows; the head of one that is over is compared with the tag on the model
    versions in the registry, which whoever can write to this database need not be able to write to.

    Raises:
        RolloutNotFoundError: There is none with this id.
        RegistryUnavailableError: The registry cannot be asked.
    """
    if rollout_id is not None:
        return [_verify(engine, registry, rollout_id)]
    with reading(engine) as connection:
        names = list(connection.execute(select(ROLLOUT.c.id).order_by(ROLLOUT.c.created_at)).scalars())
    return [_verify(engine, registry, name) for name in names]


def _verify(engine: Engine, registry: Registry, rollout_id: str) -> Verified:
    with reading(engine) as connection:  # one view of the rollout and its events, which may go on meanwhile
        row = row_of(connection, rollout_id)
        events = event_rows(connection, row.id)
        looked = list(connection.execute(select(EVALUATION).where(EVALUATION.c.rollout_id == row.id)))
        bad = _first_bad(row, events)
        problem = bad[1] if bad else _state_problem(row, events) or _evaluation_problem(events, looked)
        note = None
        if problem is None and row.state in TERMINAL:
            problem, note = _compare(connection, registry, row, events)
    if problem is None:
        problem = _repeated_problem(engine, row, events)
    number = bad[0] if bad else None
    return Verified(row.id, len(events), len(looked), bad_row=number, problem=problem, note=note)


def _first_bad(row: Row[Any], events: list[Row[Any]]) -> tuple[int, str] | None:
    """Return number and fault of the first event that the chain does not hold."""
    chained = [event for event in events if event.hash is not None]
    is_new = row.plan_hash is not None
    if is_new and (not chained or chained[0].number != 1):
        return 1, "the first event is not there, or has no hash"
    previous, expected = first_hash(row), chained[0].number if chained else 0
    for event in events:
        if event.hash is None:
            if event.number > (chained[0].number if chained else event.number):
                return event.number, f"event {event.number} has no hash"
            continue  # of before there was a chain
        if event.number != expected:
            return expected, f"event {expected} is not there"
        if event.previous_hash != previous or event_hash(previous, dict(event._mapping)) != event.hash:
            return event.number, f"event {event.number}, or what it follows from, is not as it was written"
        previous, expected = event.hash, event.number + 1
    return None


def _state_problem(row: Row[Any], events: list[Row[Any]]) -> str | None:
    last = events[-1]
    if last.hash is None:
        return None
    if (row.version, row.state, row.weight_bp) != (last.number, last.state, last.weight_bp):
        return f"the rollout is not as its last event, {last.number}, left it"
    return None


def _evaluation_problem(events: list[Row[Any]], looked: list[Row[Any]]) -> str | None:
    for row in looked:
        if content_id(dict(row._mapping)) != row.id:
            return f"evaluation {row.number} is not as it was written"
    known = {row.id for row in looked}
    for event in events:
        if event.evaluation_id is not None and event.evaluation_id not in known:
            return f"the evaluation that event {event.number} rests on is not there"
    return None


def _repeated_problem(engine: Engine, row: Row[Any], events: list[Row[Any]]) -> str | None:
    """Return which evaluation that a decision rests on comes out otherwise when it is done again."""
    decided = {event.evaluation_id for event in events if event.evaluation_id is not None}
    if not decided:
        return None
    plan = Plan.parse(row.plan)
    for stored in evaluations(engine, row.id):
        if stored.id in decided and stored.code_version == CODE_VERSION:
            again = canonical(repeat(plan, stored).to_dict())
            if again != canonical(stored.evaluation.to_dict()):
                return f"evaluation {stored.number}, done again from its inputs, comes out otherwise"
    return None


def _compare(
    connection: Connection, registry: Registry, row: Row[Any], events: list[Row[Any]]
) -> tuple[str | None, str | None]:
    """Return problem and note of the heads on record in the registry."""
    head = events[-1].hash
    if head is None:
        return None, "it ended before decisions were chained"
    for version in (row.challenger_version, *(one["version"] for one in row.challengers or ())):
        try:
            found = registry.find(Reference(row.model, version=version)).tags.get(head_tag(row.id))
        except ModelNotFoundError:
            return None, f"version {version} of '{row.model}' is no longer in the registry"
        if found is None and is_waiting(connection, f"{row.id}:head:{version}"):
            return None, "the head of the chain is about to be written to the registry"
        if found != head:
            told = "none" if found is None else found[:12]
            return f"the head of the chain is {head[:12]}, and on version {version} in the registry {told}", None
    return None, None
