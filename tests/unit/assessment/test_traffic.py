"""Bias tests of live traffic: what is said of counts is what would be said of their rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assessment.columns import BiasTestColumns, Subject, assess_columns
from assessment.errors import (
    AssessmentError,
    EmptyTestError,
    NoProtectedAttributeError,
    ScoresError,
    TooManyLabelsError,
    UnknownLabelError,
)
from assessment.live_bias import Favourable, favourable_of, live_bias
from assessment.options import MeasuringOptions
from assessment.result import BiasTestResult, DataSource
from assessment.traffic import assess_traffic
from fairness.errors import FairnessError
from fairness.gate import Verdict
from monitoring.window_cells import NOT_KNOWN, NUMBER, OTHER, Amount, groups_of, label_of
from monitoring.windows import Alike, WindowCounts, attributes_told

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Logged:
    prediction: Any
    outcome: Any = None
    protected: dict[str, str | None] = field(default_factory=dict)
    model_version: str = "3"


def counted(rows: list[Logged]) -> WindowCounts:
    counts: Counter[Alike] = Counter(
        Alike(
            row.model_version,
            "champion",
            groups_of(row.protected),
            label_of(row.prediction, has_score=True),
            NOT_KNOWN if row.outcome is None else label_of(row.outcome, has_score=True),
        )
        for row in rows
    )
    return WindowCounts("m", NOW, NOW, {alike: Amount(n) for alike, n in sorted(counts.items())})


def traffic(n: int = 4000, *, second_rate: float = 0.5) -> list[Logged]:
    generator = np.random.default_rng(5)
    rows = []
    for i in range(n):
        sex = str(1 + i % 2)
        prediction = int(generator.random() < (second_rate if sex == "2" else 0.5))
        rows.append(Logged(prediction, prediction if i % 4 < 2 else None, {"SEX": sex}))
    return rows


def bias_test_of(rows: list[Logged], **more: Any) -> BiasTestResult:
    return assess_traffic(counted(rows), test_id="t", created_at=NOW, **{"favourable": 1, **more})


def of_rows(rows: list[Logged], options: MeasuringOptions, favourable: Any) -> BiasTestResult:
    """Return the test of the rows themselves, the oracle."""
    return assess_columns(
        Subject("m", "3", DataSource.TRAFFIC, "t", NOW),
        BiasTestColumns(
            predictions=[row.prediction for row in rows],
            outcomes=[row.outcome for row in rows],
            protected={name: [row.protected.get(name) for row in rows] for name in attributes_told(counted(rows))},
        ),
        favourable=favourable,
        options=options,
        generator=np.random.default_rng(0),
    )


GROUPS = st.dictionaries(st.sampled_from(["sex", "age"]), st.sampled_from(["1", "2", "30", None, " "]))
LABELS = st.sampled_from([0, 1, 1.0, "yes", True])
OPTIONS = st.sampled_from(
    [
        MeasuringOptions(minimum_rows=2),
        MeasuringOptions(minimum_rows=2, intersections=(("sex", "age"),), fairlearn_compat=True),
        MeasuringOptions(minimum_rows=2, edges={"age": (10, 20)}, alpha=0.2),
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.builds(Logged, LABELS, st.none() | LABELS, GROUPS), min_size=1, max_size=25),
    times=st.integers(1, 40),
    options=OPTIONS,
    favourable=st.sampled_from([0, 1, "yes"]),
)
def test_the_test_of_counts_is_that_of_the_rows(
    rows: list[Logged], times: int, options: MeasuringOptions, favourable: Any
) -> None:
    rows = rows * times
    generator = np.random.default_rng(0)
    if not any(row.protected for row in rows):
        with pytest.raises(NoProtectedAttributeError):
            bias_test_of(rows, options=options, favourable=favourable)
        return
    try:
        expected = of_rows(rows, options, favourable)
    except (AssessmentError, FairnessError) as error:
        with pytest.raises(type(error)):
            bias_test_of(rows, options=options, favourable=favourable, generator=generator)
        return
    assert bias_test_of(rows, options=options, favourable=favourable, generator=generator) == expected


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


def test_groups_that_are_not_told_apart_are_unknown_and_a_note_says_so() -> None:
    window = counted(traffic(100))
    more = WindowCounts("m", NOW, NOW, {Alike("3", "champion", OTHER, "1", NOT_KNOWN): Amount(7)})
    result = assess_traffic(window + more, favourable=1, test_id="t", created_at=NOW)
    assert {group.group: group.rows for group in result.attributes[0].groups} == {"1": 50, "2": 50, "unknown": 7}
    assert result.notes[-1].startswith("7 rows are of more combinations of groups")


def test_a_window_that_cannot_be_tested_is_refused() -> None:
    with pytest.raises(EmptyTestError, match="nothing that was served in the window is in the log"):
        bias_test_of([])
    with pytest.raises(NoProtectedAttributeError):
        bias_test_of([Logged(1)])
    with pytest.raises(NoProtectedAttributeError):
        bias_test_of(traffic(10), protected=["AGE"])
    with pytest.raises(UnknownLabelError):
        bias_test_of(traffic(10), favourable="1", classes=(0, 1))
    with pytest.raises(UnknownLabelError, match=r"^the prediction label"):
        bias_test_of(traffic(10), favourable=0, classes=(0, 2))


@pytest.mark.parametrize(
    ("prediction", "outcome", "error"),
    [(NUMBER, NOT_KNOWN, ScoresError), (OTHER, NOT_KNOWN, TooManyLabelsError), ("1", OTHER, TooManyLabelsError)],
)
def test_counts_that_do_not_know_the_labels_are_refused(
    prediction: str, outcome: str, error: type[Exception]
) -> None:
    window = WindowCounts("m", NOW, NOW, {Alike("3", "champion", '{"s":"1"}', prediction, outcome): Amount(1)})
    with pytest.raises(error):
        assess_traffic(window, favourable=1, test_id="t", created_at=NOW)


def test_gauges_show_rates_of_groups_that_are_large_enough_and_verdicts_of_a_named_label() -> None:
    rows = [*traffic(second_rate=0.25), *(Logged(1, None, {"SEX": "3"}) for _ in range(5)), Logged(1)]
    found = live_bias(counted(rows), Favourable(1, is_named=True), (0, 1), minimum_rows=30)
    report = bias_test_of(rows, classes=(0, 1)).attributes[0]
    assert {group for _, group in found.selection_rates} == {"1", "2"}
    assert found.selection_rates["SEX", "1"] == report.groups[0].selection_rate.value
    assert found.verdicts == {"SEX": "fail"}
    values = {(str(each.metric), "SEX"): each.value for each in report.disparities if each.value is not None}
    assert found.metrics == values


def test_gauges_of_a_model_that_names_no_label_are_the_rates_of_the_second_of_two_classes() -> None:
    label = favourable_of(None, ("no", "yes"))
    assert label == Favourable("yes", is_named=False)
    rows = [Logged("yes" if i % 3 else "no", None, {"SEX": str(i % 2)}) for i in range(300)]
    found = live_bias(counted(rows), label, ("no", "yes"), minimum_rows=30)
    assert found.selection_rates.keys() == {("SEX", "0"), ("SEX", "1")}
    assert (found.metrics, found.verdicts) == ({}, {})
    assert favourable_of(None, ("a", "b", "c")) is None
    assert favourable_of("b", ("a", "b", "c")) == Favourable("b", is_named=True)


def test_gauges_of_what_cannot_be_measured_are_left_out() -> None:
    many = [Logged(1, None, {"id": str(i), "SEX": str(i % 2)}) for i in range(400)]
    found = live_bias(counted(many), Favourable(1, is_named=True), (0, 1), minimum_rows=30)
    assert {attribute for attribute, _ in found.selection_rates} == {"SEX"}
