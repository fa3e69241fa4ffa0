"""Features that are not kept are written nowhere; predictions are written whatever becomes of features."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.kept_features import KeptFeatures
from monitoring.predictions import BULK_ROWS, SegmentWriter
from tests.unit.monitoring.test_shipper import record

SECRET = "Trillian"


@pytest.mark.parametrize(
    "features",
    [[{"name": SECRET, "age": 1}], {"name": [SECRET], "age": [1]}, {"name": [SECRET] * (BULK_ROWS + 1)}],
)
@pytest.mark.parametrize("model", ["*", "credit"])
def test_a_redacted_feature_is_not_in_the_segment(
    tmp_path: Path, new_record: Any, features: Any, model: str
) -> None:
    rows = len(features["name"]) if isinstance(features, dict) else 1
    kept = KeptFeatures(redacted={model: ["name"], "other": ["age"]})
    writer = SegmentWriter(tmp_path, segment_bytes=1_000_000, spool_bytes=10_000_000, features=kept)
    writer.append([new_record("a", positions=range(rows), predictions=[1] * rows, scores=None, features=features)])
    (path,) = tmp_path.iterdir()
    content = path.read_text()
    assert SECRET not in content
    assert ('"age"' in content) is ("age" in str(features))


def test_unset_nothing_is_looked_at(new_record: Any) -> None:
    assert KeptFeatures().are_all
    assert KeptFeatures(redacted={"credit": []}).are_all
    record = new_record("a")
    assert KeptFeatures(redacted={"other": ["job"]}).of(record) is record


@settings(max_examples=20)
@given(share=st.floats(0, 1))
def test_about_the_share_of_requests_keeps_features_and_a_higher_share_drops_none(share: float) -> None:
    records = [record(str(UUID(int=7**number % 2**128))) for number in range(200)]
    names = {one.request_id for one in records}

    def kept(share: float) -> set[str]:
        keeps = KeptFeatures(share=share)
        return {one.request_id for one in records if keeps.of(one).features}

    assert abs(len(kept(share)) - 200 * share) < 60
    assert kept(share) <= kept(min(1.0, share + 0.1))
    assert kept(0.0) == set()
    assert kept(1.0) == names
