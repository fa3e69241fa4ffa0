"""Which results refuse, and what they say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from registry.errors import GateRecordError
from registry.gate_record import GATES_TAG, GateKind, GateRecord, GateResult, GateVerdict
from registry.versions import ModelVersion


def result(**changes: object) -> GateResult:
    facts = {"kind": GateKind.BIAS, "metric": "equal_opportunity_difference", "attribute": "SEX", "value": 0.25}
    return GateResult(**{**facts, "limit": 0.1, "verdict": GateVerdict.FAIL, **changes})


@pytest.mark.parametrize(
    ("verdict", "required", "gating", "refuses"),
    [
        (GateVerdict.FAIL, False, True, True),
        (GateVerdict.FAIL, True, False, False),
        (GateVerdict.PASS, True, True, False),
        (GateVerdict.INSUFFICIENT_EVIDENCE, False, True, False),
        (GateVerdict.INSUFFICIENT_EVIDENCE, True, True, True),
        (GateVerdict.INSUFFICIENT_EVIDENCE, True, False, False),
    ],
)
def test_only_gating_results_refuse_and_missing_evidence_only_where_it_is_required(
    verdict, required, gating, refuses
) -> None:
    record = GateRecord(digest="d", results=(result(verdict=verdict, required=required, gating=gating),))
    assert bool(record.refusing()) is refuses


def test_a_refusal_names_the_gate_its_limit_and_the_distance() -> None:
    text = result().describe()
    assert "equal_opportunity_difference on SEX is 0.2500, the limit is 0.1" in text
    assert "0.1500" in text


def version(tags: dict[str, str]) -> ModelVersion:
    return ModelVersion("credit", "1", None, "s", frozenset(), tags, datetime(2026, 1, 1, tzinfo=UTC))


def test_a_record_survives_its_tag() -> None:
    record = GateRecord(digest="sha256:1", results=(result(), result(value=None, message="3 rows", gating=False)))
    assert GateRecord.from_version(version({GATES_TAG: record.to_json()})) == record
    assert GateRecord.from_version(version({})) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": "d", "surprise": 1}'])
def test_a_record_that_cannot_be_read_says_so(text: str) -> None:
    with pytest.raises(GateRecordError, match=r"credit/1.*cannot be read"):
        GateRecord.from_version(version({GATES_TAG: text}))
