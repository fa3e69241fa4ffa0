"""A migrated control database, and a champion with two versions that may challenge it and one that may not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from registry.gate_record import GATES_TAG, GateKind, GateRecord, GateResult, GateVerdict
from registry.versions import DIGEST_TAG
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for
from tests.fakes.registry import FakeRegistry


@pytest.fixture(params=BOTH_ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with engine_asked_for(request, tmp_path / "fairmind.db", "control") as engine:
        yield engine


@pytest.fixture
def registry(tmp_path: Path) -> FakeRegistry:
    registry = FakeRegistry()
    for number in ("1", "2", "3", "4"):
        verdict = GateVerdict.FAIL if number == "4" else GateVerdict.PASS
        gate = GateResult(kind=GateKind.QUALITY, metric="roc_auc", value=0.6, limit=0.7, verdict=verdict)
        record = GateRecord(digest=f"sha256:{number}", results=(gate,))
        registry.register("credit", tmp_path, {DIGEST_TAG: record.digest, GATES_TAG: record.to_json()})
    registry.set_alias("credit", "champion", "1")
    registry.set_alias("credit", "challenger", "2")
    return registry
