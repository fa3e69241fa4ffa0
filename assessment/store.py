"""Bias tests in the control database: kept, found, listed and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, Row, Select, func, select, update

from assessment.errors import BiasTestNotFoundError
from assessment.result import BiasTestResult
from assessment.stored import BiasTestState, Findings, StoredTest
from assessment.tables import BIAS_TEST
from database.engine import insert_or_ignore, reading
from tracking.record import BiasTestType

_HEAVY: Final = frozenset({"result", "record", "request"})
_LIGHT: Final = [column for column in BIAS_TEST.c if column.name not in _HEAVY]
_WHOLE: Final = [column for column in BIAS_TEST.c if column.name != "request"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked for a test, of what, and what else is worth knowing about it."""

    user_id: str
    test_type: BiasTestType = BiasTestType.ML_BIAS
    dataset_id: str | None = None
    details: Mapping[str, Any] | None = None


def keep(
    engine: Engine, result: BiasTestResult, record: Mapping[str, Any], findings: Findings, asked: Asked
) -> None:
    """Keep a test that our engine ran; one that is there already under this id stays as it is."""
    values = {
        **_start(result.test_id, asked, result.created_at),
        **outcome_of(result, record, findings),
        "finished_at": result.created_at,
    }
    with engine.begin() as connection:
        connection.execute(insert_or_ignore(engine, BIAS_TEST), values)


def keep_record(
    engine: Engine,
    test_id: str,
    *,
    model_id: str,
    asked: Asked,
    record: Mapping[str, Any],
    findings: Findings,
    now: datetime,
) -> bool:
    """Keep a test that was measured elsewhere; return whether it was new, for an id is kept once."""
    values = {
        **_start(test_id, asked, now),
        **_findings(findings),
        "state": BiasTestState.DONE,
        "progress": 1.0,
        "model": model_id,
        "record": dict(record),
        "finished_at": now,
    }
    with engine.begin() as connection:
        return bool(connection.execute(insert_or_ignore(engine, BIAS_TEST), values).rowcount)


def note(engine: Engine, test_id: str, details: Mapping[str, Any]) -> None:
    """Add to what is known about a test; nothing where there is none of this id, as those of the command line."""
    row = BIAS_TEST.c.id == test_id
    with engine.begin() as connection:
        known = connection.execute(select(BIAS_TEST.c.details).where(row).with_for_update()).scalar_one_or_none()
        if known is not None:
            connection.execute(update(BIAS_TEST).where(row).values(details={**known, **details}))


def find(engine: Engine, test_id: str) -> StoredTest:
    """Return one test.

    Raises:
        BiasTestNotFoundError: There is none of this id.
    """
    with reading(engine) as connection:
        row = connection.execute(select(*_WHOLE).where(BIAS_TEST.c.id == test_id)).first()
    if row is None:
        raise BiasTestNotFoundError(test_id)
    return _stored(row)


def listed(
    engine: Engine,
    *,
    model: str | None = None,
    verdict: str | None = None,
    test_type: str | None = None,
    since: datetime | None = None,
    done_only: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> tuple[list[StoredTest], int]:
    """Return the tests that fit, newest first, without what they found in detail; and how many fit in all."""
    conditions: list[ColumnElement[bool]] = []
    for column, wanted in (("model", model), ("verdict", verdict), ("test_type", test_type)):
        if wanted is not None:
            conditions.append(BIAS_TEST.c[column] == wanted)
    if since is not None:
        conditions.append(BIAS_TEST.c.created_at >= since)
    if done_only:
        conditions.append(BIAS_TEST.c.state == BiasTestState.DONE)
    newest: Select[Any] = select(*_LIGHT).where(*conditions)
    newest = newest.order_by(BIAS_TEST.c.created_at.desc(), BIAS_TEST.c.id.desc()).limit(limit).offset(offset)
    with reading(engine) as connection:
        total = connection.execute(select(func.count()).select_from(BIAS_TEST).where(*conditions)).scalar_one()
        return [_stored(row) for row in connection.execute(newest)], total


@dataclass(frozen=True, slots=True)
class Statistics:
    """How many tests there are by risk and by kind, and how many of their metrics passed and failed."""

    by_risk: Mapping[str, int]
    by_type: Mapping[str, int]
    metrics_passed: int
    metrics_failed: int

    @property
    def total(self) -> int:
        """All tests that are done."""
        return sum(self.by_type.values())


def statistics(engine: Engine, model: str | None = None) -> Statistics:
    """Return what all tests that are done amount to, those of one model where it is named."""
    table = BIAS_TEST.c
    conditions = [table.state == BiasTestState.DONE]
    if model is not None:
        conditions.append(table.model == model)
    counted = select(
        table.overall_risk,
        table.test_type,
        func.count(),
        func.sum(table.metrics_passed),
        func.sum(table.metrics_failed),
    ).where(*conditions)
    by_risk: Counter[str] = Counter()
    by_type: Counter[str] = Counter()
    passed = failed = 0
    with reading(engine) as connection:
        for risk, kind, count, good, bad in connection.execute(
            counted.group_by(table.overall_risk, table.test_type)
        ):
            by_risk[risk or "unknown"] += count
            by_type[kind] += count
            passed, failed = passed + int(good), failed + int(bad)
    return Statistics(dict(by_risk), dict(by_type), passed, failed)


def _start(test_id: str, asked: Asked, now: datetime) -> dict[str, Any]:
    """Return the columns of a test that has only been asked for."""
    return {
        "id": test_id,
        "test_type": asked.test_type,
        "state": BiasTestState.QUEUED,
        "progress": 0.0,
        "attempts": 0,
        "user_id": asked.user_id,
        "dataset_id": asked.dataset_id,
        "metrics_passed": 0,
        "metrics_failed": 0,
        "summary": "",
        "details": dict(asked.details or {}),
        "created_at": now,
        "touched_at": now,
    }


def outcome_of(result: BiasTestResult, record: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    """Return the columns that a test has once it is done."""
    return {
        **_findings(findings),
        "state": BiasTestState.DONE,
        "progress": 1.0,
        "model": result.model,
        "model_version": result.model_version,
        "verdict": None if result.verdict is None else str(result.verdict),
        "rows": result.rows,
        "result": result.model_dump(mode="json"),
        "record": dict(record),
    }


def started(test_id: str, asked: Asked, model: str | None, request: bytes, now: datetime) -> dict[str, Any]:
    """Return the columns of a test that waits for its turn."""
    return {**_start(test_id, asked, now), "model": model, "request": request}


def _findings(findings: Findings) -> dict[str, Any]:
    return {
        "overall_risk": findings.overall_risk,
        "metrics_passed": findings.metrics_passed,
        "metrics_failed": findings.metrics_failed,
        "summary": findings.summary,
    }


def _stored(row: Row[Any]) -> StoredTest:
    known = row._mapping
    found = None
    if row.overall_risk is not None:
        found = Findings(row.overall_risk, row.metrics_passed, row.metrics_failed, row.summary)
    return StoredTest(
        id=row.id,
        test_type=BiasTestType(row.test_type),
        state=BiasTestState(row.state),
        progress=row.progress,
        reason=row.reason,
        user_id=row.user_id,
        model=row.model,
        model_version=row.model_version,
        dataset_id=row.dataset_id,
        verdict=row.verdict,
        rows=row.rows,
        created_at=row.created_at,
        finished_at=row.finished_at,
        findings=found,
        result=known.get("result"),
        record=known.get("record"),
        details=row.details,
    )
