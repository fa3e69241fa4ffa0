"""A replay: the logged rows of a window through both versions, a batch at a time, and what they show."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any, Final

from inference.signature import Signature, Task
from monitoring.export import Export
from replay.blind_spots import BlindSpots, blind_spots
from replay.changed_decisions import changed_decisions
from replay.chosen_rows import Chosen, choose
from replay.comparing import Comparison, Contender
from replay.errors import ColumnsMissingError, NotComparableError, NothingLoggedError
from replay.evidence import LOSSES
from replay.judging import SELECTIVE, Verdicts, default_guardrails, judge_pairs, plan_of
from replay.logged import batches
from replay.pairs import ALL
from replay.rates import group_rates
from replay.rescoring import NO_LABEL, missing_columns
from replay.result import Calibrated, ChangedDecision, Compared, Outcomes, ReplayResult, Rows, ScoreChange, Tenth
from replay.window import Window
from rollout.guardrail import Guardrail, Verdict
from rollout.plan import Plan

FAVOURABLE_TAG: Final = "fairmind.favourable"
DEFAULT_MATURITY: Final = timedelta(days=7)
ASSUMED: Final = (
    "the rows are those that were asked of the versions that served: it is assumed that what is asked, and what "
    "comes true, does not depend on what was decided"
)
_DEFAULTS: Final = "no plan was given: margins and groups are the defaults, and `--plan` takes those of a rollout"


def run(
    replay_id: str,
    window: Window,
    challenger: Contender,
    against: Contender,
    *,
    plan: Plan | None = None,
    maturity: timedelta | None = None,
    now: datetime,
    told: Callable[[int, int], None] = lambda _done, _of: None,
) -> ReplayResult:
    """Return what the challenger would have decided on the rows of a window, beside those of another version.

    Where the log has an answer of `against` that is its answer; to rows that another version answered it is asked
    anew. Of each unit the first row counts, unless the plan analyses requests. Memory holds a batch of rows, and
    some 25 bytes for each row of the window.

    Args:
        replay_id: How it will be known.
        window: Where the rows are.
        challenger, against: The versions.
        plan: Whose guardrails judge; without one there are defaults.
        maturity: How long an outcome had to come; without it the plan's, or 7 days.
        now: The time.
        told: Hears how many of how many archived rows are done.

    Raises:
        ReplayError: There is nothing to replay, or the versions cannot be compared.
        OSError: The feature store cannot be reached.
    """
    check_comparable(challenger, against)
    logged = Export(window.engine, window.store, window.model, window.since, window.until).rows()
    chosen = choose(window, by_unit=plan is None or plan.unit == "unit")
    if not chosen.tally.archived:
        raise NothingLoggedError(window.model, logged)
    _check_columns(window, chosen, challenger, against)
    maturity = maturity if maturity is not None else (DEFAULT_MATURITY if plan is None else plan.label_maturity)
    seen = Comparison(challenger, against, _scored_labels(plan, challenger.scorer.signature))
    done, total = 0, int(chosen.counts.sum())
    for batch in batches(window, chosen, maturity=maturity, now=now):
        seen.add(batch)
        done += len(batch.ids)
        told(done, total)
    seen.check()
    guardrails = None if plan is not None else _defaults(challenger, seen)
    judged_by = plan_of(plan, model=window.model, guardrails=guardrails, label_maturity=maturity)
    positive = positive_label(challenger)
    verdicts = judge_pairs(judged_by, seen.pairs, positive)
    blind = BlindSpots((), False) if guardrails is None else blind_spots(seen.pairs, guardrails)
    if blind.is_blind and verdicts.overall is not Verdict.VIOLATED:
        verdicts = replace(verdicts, overall=Verdict.INSUFFICIENT_DATA)
    return ReplayResult(
        id=replay_id,
        model=window.model,
        challenger=_compared(challenger),
        against=_compared(against),
        since=window.since,
        until=window.until,
        created_at=now,
        verdict=verdicts.overall,
        rows=_rows(chosen, seen, logged),
        outcomes=_outcomes(seen, maturity, verdicts),
        positive=positive,
        planned=plan is not None,
        guardrails=judged_by.guardrails,
        judgements=tuple(one.to_dict() for one in verdicts.judgements),
        left_out=verdicts.left_out,
        rates=tuple(group_rates(seen.pairs, positive)),
        changed_decisions=tuple(ChangedDecision(**asdict(one)) for one in changed_decisions(seen.pairs)),
        changes=tuple(ScoreChange(**asdict(one)) for one in seen.changes.found),
        calibration=_calibration(seen),
        notes=(*_notes(plan, chosen, seen, verdicts), *blind.notes),
    )


def check_comparable(challenger: Contender, against: Contender) -> None:
    """Refuse versions whose decisions cannot be compared.

    Raises:
        NotComparableError: They are the same, or one decides nothing, or they decide between other labels.
    """
    if challenger.number == against.number:
        raise NotComparableError(
            f"{challenger.version} would be compared with itself; name another one with --against"
        )
    for one in (challenger, against):
        if not one.scorer.signature.classes:
            raise NotComparableError(f"{one.version} is no classifier; a replay compares decisions")
    ours, theirs = ({str(label) for label in one.scorer.signature.classes} for one in (challenger, against))
    if ours != theirs:
        raise NotComparableError(
            f"{challenger.version} decides between {len(ours)} other labels than {against.version}; a replay "
            "compares decisions between the same ones"
        )


def positive_label(challenger: Contender) -> Any:
    """Return the favourable label: what the version was trained with, or else the second of its classes."""
    classes = challenger.scorer.signature.classes
    told = challenger.version.tags.get(FAVOURABLE_TAG)
    if told is not None:
        named = json.loads(told)
        if named in classes:
            return named
    return classes[1] if len(classes) > 1 else classes[0]


def _check_columns(window: Window, chosen: Chosen, *contenders: Contender) -> None:
    schema = window.schema(chosen.files)
    for one in contenders:
        missing = missing_columns(one.scorer.signature, schema)
        if missing:
            raise ColumnsMissingError(str(one.version), missing)


def _scored_labels(plan: Plan | None, signature: Signature) -> list[Any]:
    """Return of which labels scores are taken for probabilities, for the losses that are judged."""
    if signature.task is not Task.BINARY:
        return []
    return (
        [signature.classes[1]]
        if plan is None
        else [one.positive for one in plan.guardrails if one.metric in LOSSES]
    )


def _defaults(challenger: Contender, seen: Comparison) -> tuple[Guardrail, ...]:
    scored = next(iter(_scored_labels(None, challenger.scorer.signature)), None)
    return default_guardrails(seen.pairs, positive_label(challenger), scored=scored)


def _outcomes(seen: Comparison, maturity: timedelta, verdicts: Verdicts) -> Outcomes:
    due = [(alike, rows) for alike, rows in seen.pairs.counts[ALL].items() if alike.is_due]
    return Outcomes(
        maturity_seconds=maturity.total_seconds(),
        due=sum(rows for _, rows in due),
        known=sum(rows for alike, rows in due if alike.outcome != NO_LABEL),
        selective=verdicts.is_selective,
    )


def _compared(one: Contender) -> Compared:
    return Compared(version=one.number, digest=one.version.digest)


def _rows(chosen: Chosen, seen: Comparison, logged: int) -> Rows:
    found: Mapping[str, int] = asdict(chosen.tally)
    return Rows(
        logged=logged,
        unscored=seen.unscored,
        compared=seen.pairs.rows,
        rescored=seen.rescored,
        refused=seen.refused,
        checked=sum(seen.checked.values()),
        differing=seen.differing,
        **found,
    )


def _calibration(seen: Comparison) -> tuple[Calibrated, Calibrated] | None:
    if seen.challenger.scorer.signature.task is not Task.BINARY:
        return None
    theirs, ours = (
        Calibrated(
            error=one.error(),
            bias=one.bias(),
            tenths=tuple(
                Tenth(rows=int(n), score=total / n if n else None, share=positive / n if n else None)
                for n, total, positive in one.sums.tolist()
            ),
        )
        for one in seen.calibration
    )
    return theirs, ours


def _notes(plan: Plan | None, chosen: Chosen, seen: Comparison, verdicts: Verdicts) -> list[str]:
    tally = chosen.tally
    found = [ASSUMED] + ([_DEFAULTS] if plan is None else [])
    if verdicts.is_selective:
        found.append(SELECTIVE)
    if tally.without_unit and seen.pairs.rows:
        found.append(
            f"{tally.without_unit:,} rows carry no unit and count each by itself: intervals are too narrow where "
            "one person asked several times"
        )
    if seen.differing:
        found.append(
            f"{seen.differing:,} of {sum(seen.checked.values()):,} answers that were scored anew are not what the "
            "log says: look at what changed in the files or the libraries of that version before trusting this"
        )
    if seen.unscored:
        found.append(
            f"{seen.unscored:,} rows lack a column, or have a value, that one of the versions needs otherwise"
        )
    return found
