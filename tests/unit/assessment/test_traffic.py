from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from assessment.errors import EmptyTestError, NoProtectedAttributeError, UnknownLabelError
from assessment.result import BiasTestResult
from assessment.traffic import assess_traffic
from fairness.gate import Verdict

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Logged:
    prediction: Any
    outcome: Any = None
    protected: dict[str, str | None] = field(default_factory=dict)
    model_version: str = "3"


def traffic(n: int = 4000, *, second_rate: float = 0.5) -> list[Logged]:
    generator = np.random.default_rng(5)
    rows = []
    for i in range(n):
        sex = str(1 + i % 2)
        prediction = int(generator.random() < (second_rate if sex == "2" else 0.5))
        rows.append(Logged(prediction, prediction if i % 4 < 2 else None, {"SEX": sex}))
    return rows


def bias_test_of(rows: list[Logged], **more: Any) -> BiasTestResult:
    return assess_traffic(rows, model="m", test_id="t", created_at=NOW, **{"favourable": 1, **more})


def test_traffic_with_late_outcomes_is_tested_on_what_is_known() -> None:
    result = bias_test_of(traffic(), classes=(0, 1))
    group = result.attributes[0].groups[0]
    assert (group.rows, group.labelled) == (2000, 1000)
    assert result.notes == ("2000 of 4000 rows have no outcome; they count for the selection rate only",)
    assert (result.model_version, result.source) == ("3", "traffic")


def test_an_unfair_window_fails() -> None:
    assert bias_test_of(traffic(second_rate=0.25)).verdict is Verdict.FAIL


def test_versions_tested_together_are_named_in_their_order() -> None:
    rows = [*traffic(100), Logged(1, None, {"SEX": "1"}, "10"), Logged(1, None, {"SEX": "1"}, "9")]
    result = bias_test_of(rows)
    assert result.model_version is None
    assert result.notes[-1] == "versions 3, 9, 10 are tested together"


def test_an_attribute_only_some_rows_have_leaves_the_others_unknown() -> None:
    rows = [*traffic(100), *(Logged(1) for _ in range(7))]
    groups = {group.group: group.rows for group in bias_test_of(rows).attributes[0].groups}
    assert groups == {"1": 50, "2": 50, "unknown": 7}


def test_a_window_that_cannot_be_tested_is_refused() -> None:
    with pytest.raises(EmptyTestError):
        bias_test_of([])
    with pytest.raises(NoProtectedAttributeError):
        bias_test_of([Logged(1)])
    with pytest.raises(UnknownLabelError):
        bias_test_of(traffic(10), favourable="1", classes=(0, 1))
