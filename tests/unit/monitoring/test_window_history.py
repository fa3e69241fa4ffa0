"""After any history, the counts of windows are those of the rows that the log holds."""

from __future__ import annotations

import itertools
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from monitoring.attributes import AttributeRecord, keep_attributes
from monitoring.outcomes import Outcome, keep
from monitoring.predictions import SegmentWriter
from monitoring.shipper import Shipper
from monitoring.window_sink import WindowSink
from monitoring.window_upkeep import merge_old, prepare, recount
from monitoring.windows import window_counts
from tests.fakes.databases import migrated_engine
from tests.fakes.records import prediction_record
from tests.fakes.window_rows import kinds, stored_cells, window_rows
from tests.unit.monitoring.test_windows import as_kinds

NOW = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)

REQUESTS = [f"r{i}" for i in range(4)]
CALLERS = [None, "c1", "c2"]
UNITS = [None, "u1", "u2"]
GROUPS: list[Any] = [None, {}, {"sex": "f"}, {"sex": "m", "age": "1"}, {"sex": None}]
SECONDS = st.sampled_from([0, 299, 300, 4_000, 90_000, 9 * 86_400])
LABELS = st.sampled_from([0, 1, "good"])
PREDICTION_IDS = st.sampled_from([f"{request}-{position}" for request in REQUESTS for position in range(2)])
ROW = st.tuples(LABELS, st.sampled_from(CALLERS), st.sampled_from(UNITS), st.sampled_from(GROUPS))


class Histories(RuleBasedStateMachine):
    """Ships, tells, corrects, repeats and merges in any order."""

    @initialize(bound=st.sampled_from([2, 500]))
    def begin(self, bound: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.spool = Path(self.folder.name) / "spool"
        self.bound = bound
        self.engine = migrated_engine(Path(self.folder.name) / "log.db", "log")
        prepare(self.engine, seconds=300, most_groups=bound)
        self.shipper = Shipper(self.spool, self.engine, [WindowSink()])
        self.unused = iter(REQUESTS)

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.dispose()
            self.folder.cleanup()

    @rule(
        rows=st.lists(ROW, min_size=1, max_size=3),
        seconds=SECONDS,
        variant=st.sampled_from(["champion", "challenger", None]),
        scores=st.booleans(),
    )
    def ship(self, rows: list[Any], seconds: int, variant: str | None, scores: bool) -> None:
        for request_id in itertools.islice(self.unused, 1):
            labels, callers, units, protected = (list(column) for column in zip(*rows, strict=True))
            segment = SegmentWriter(self.spool, segment_bytes=1_000_000, spool_bytes=10_000_000)
            segment.append(
                [
                    prediction_record(
                        request_id,
                        len(rows),
                        served_at=NOW.timestamp() + seconds,
                        variant=variant,
                        predictions=labels,
                        scores=[0.5] * len(rows) if scores else None,
                        unit_hashes=units,
                        caller_ids=callers,
                        protected=protected,
                    )
                ]
            )
            segment.close()
            self.shipper.ship()

    @rule(told=st.lists(st.tuples(PREDICTION_IDS | st.sampled_from(["c1", "c2"]), LABELS), min_size=1, max_size=3))
    def tell_outcomes(self, told: list[Any]) -> None:
        keep(self.engine, [Outcome(outcome=label, **_named(name)) for name, label in told], NOW)

    @rule(
        name=PREDICTION_IDS | st.sampled_from(["c1", "c2", "u1", "u2"]),
        protected=st.sampled_from([{"sex": "x"}, {"race": "2", "sex": "f"}, {"sex": None}]),
    )
    def tell_attributes(self, name: str, protected: dict[str, str | None]) -> None:
        named = {"unit": name} if name.startswith("u") else _named(name)
        record = AttributeRecord(protected=protected, **named)
        keep_attributes(self.engine, [record], str)
        assert keep_attributes(self.engine, [record], str).repeated == 1

    @rule(days=st.sampled_from([1, 2, 9, 10, 30]))
    def merge(self, days: int) -> None:
        merge_old(self.engine, NOW + timedelta(days=days))

    @invariant()
    def counts_are_those_of_the_rows(self) -> None:
        if not hasattr(self, "engine"):
            return
        cells = stored_cells(self.engine)
        rows = window_rows(self.engine, "credit", since=NOW, until=NOW + YEAR)
        found = window_counts(self.engine, "credit", NOW, NOW + YEAR)
        assert found.rows == len(rows)
        if not found.rows_of_other_groups:
            assert as_kinds(found) == kinds(rows)
        recount(self.engine)
        assert stored_cells(self.engine) == cells


def _named(name: str) -> dict[str, str]:
    return {"model": "credit", "id": name} if name.startswith("c") else {"prediction_id": name}


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
