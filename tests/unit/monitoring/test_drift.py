"""What a comparison with a reference says, and when it says nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from monitoring.cells import category_profile, column_profile, count_scores, sparse
from monitoring.counted_window import CountedWindow, count_table, reference_window
from monitoring.drift import compare, drift_of
from monitoring.drift_policy import DriftPolicy, DriftVerdict
from monitoring.drift_report import ColumnDrift, DriftReport
from monitoring.profile import ReferenceProfile, ScoreProfile

ROWS = 20_000


def table(seed: int, rows: int = ROWS, **changes: Any) -> pa.Table:
    """Return people with a wage, a number of children and a job, and what was answered about them."""
    draw = np.random.default_rng(seed)
    score = draw.beta(2, 2, rows)
    columns = {
        "wage": np.where(draw.random(rows) < 0.1, np.nan, draw.lognormal(3, 0.5, rows)),
        "children": draw.integers(0, 4, rows),
        "job": draw.choice(["baker", "clerk", "smith"], rows, p=[0.2, 0.5, 0.3]),
        "fairmind.score": score,
        "fairmind.prediction": np.where(score >= 0.5, "1", "0"),
        "label": (draw.random(rows) < score).astype(int),
    }
    made = columns | {name: change(draw, columns[name]) for name, change in changes.items()}
    return pa.table({name: pa.array(values, from_pandas=True) for name, values in made.items()})


def profile_of(found: pa.Table) -> ReferenceProfile:
    scores = found["fairmind.score"].to_numpy()
    second = found["label"].to_numpy() == 1
    decided = scores >= 0.5
    counts, positives = count_scores(scores, decided), count_scores(scores[second], decided[second])
    return ReferenceProfile(
        source="registered",
        feature_rows=found.num_rows,
        scored_rows=found.num_rows,
        classes=(0, 1),
        features={name: column_profile(found[name]) for name in ("wage", "children", "job")},
        prediction=category_profile(found["fairmind.prediction"], ("0", "1")),
        outcome=category_profile(pa.array(second.astype(int)), ("0", "1")),
        score=ScoreProfile(
            counts=(sparse(counts[0]), sparse(counts[1])), positives=(sparse(positives[0]), sparse(positives[1]))
        ),
    )


PROFILE = profile_of(table(0, 50_000))


def feature(report: DriftReport, name: str) -> ColumnDrift:
    (found,) = (one for one in report.features if one.name == name)
    return found


@pytest.mark.parametrize("seed", range(1, 6))
def test_rows_like_the_reference_show_no_drift(seed: int) -> None:
    report = compare(PROFILE, reference_window(PROFILE), count_table(PROFILE, table(seed), label="label"))
    assert report.verdict is DriftVerdict.NO_DRIFT
    assert report.drifted() == ()
    assert report.prediction is not None
    assert report.scores is not None
    assert report.outcome is not None
    assert report.score is not None
    assert report.score < 0.01


Change = Callable[[np.random.Generator, Any], Any]


def some(share: float, value: Any) -> Change:
    """Return what puts a value into a share of the rows."""
    return lambda draw, values: np.where(draw.random(len(values)) < share, value, values)


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("wage", lambda draw, values: values * 1.3, "distribution"),
        ("wage", some(0.2, np.nan), "missing values"),
        ("wage", some(0.03, -1.0), "out of range"),
        ("children", some(0.03, 1.5), "new values"),
        ("job", some(0.02, "poet"), "new values"),
        ("job", some(0.4, "clerk"), "distribution"),
    ],
)
def test_what_changed_is_named_and_nothing_else_is(name: str, change: Change, found: str) -> None:
    report = drift_of(PROFILE, table(7, **{name: change}))
    assert report.verdict is DriftVerdict.DRIFT
    assert report.drifted() == (name,)
    assert found in feature(report, name).found
    assert report.score_feature == name


def test_answers_scores_and_outcomes_drift_too() -> None:
    shifted = table(7, **{"fairmind.score": lambda draw, values: values**2})
    report = drift_of(PROFILE, shifted)
    assert report.drifted() == ("score",)
    flipped = table(7, **{"fairmind.prediction": lambda draw, v: np.where(draw.random(len(v)) < 0.5, "1", v)})
    assert drift_of(PROFILE, flipped).drifted() == ("prediction",)
    easier = table(7, label=lambda draw, v: np.maximum(v, draw.random(len(v)) < 0.4))
    window = count_table(PROFILE, easier, label="label")
    assert compare(PROFILE, reference_window(PROFILE), window).drifted() == ("outcome",)


def test_a_million_rows_do_not_make_drift_of_what_does_not_matter() -> None:
    report = drift_of(PROFILE, table(7, 300_000, wage=lambda draw, values: values * 1.03))
    wage = feature(report, "wage").shape
    assert wage.p_adjusted is not None
    assert wage.p_adjusted < 0.001
    assert wage.verdict is DriftVerdict.NO_DRIFT


@pytest.mark.parametrize("rows", [0, 5, 99, 150])
def test_few_rows_are_no_evidence_of_either(rows: int) -> None:
    report = drift_of(PROFILE, table(7, rows))
    assert report.verdict is DriftVerdict.INSUFFICIENT_EVIDENCE
    missing = feature(report, "wage").missing
    assert missing is not None
    assert missing.reason


def test_few_rows_that_are_all_elsewhere_are_evidence() -> None:
    report = drift_of(PROFILE, table(7, 200, wage=lambda draw, values: values * 3))
    assert feature(report, "wage").verdict is DriftVerdict.DRIFT


@pytest.mark.parametrize("correction", ["benjamini_hochberg", "holm"])
def test_of_many_windows_without_drift_few_are_called_drift(correction: Any) -> None:
    policy = DriftPolicy(correction=correction, psi=1e-9, missing_change=1e-9, unseen_share=1e-9)
    draw = np.random.default_rng(0)
    profiles = {f"x{i}": column_profile(pa.array(draw.normal(size=5_000))) for i in range(10)}
    profile = ReferenceProfile(source="registered", feature_rows=5_000, scored_rows=0, features=profiles)
    alarms = sum(
        drift_of(profile, pa.table({name: draw.normal(size=1_000) for name in profiles}), policy).verdict
        is DriftVerdict.DRIFT
        for _ in range(60)
    )
    assert alarms <= 8


def test_the_window_before_is_a_reference_as_well() -> None:
    before, now = count_table(PROFILE, table(1)), count_table(PROFILE, table(2, wage=lambda draw, v: v * 1.3))
    assert compare(PROFILE, before, now).drifted() == ("wage",)
    assert compare(PROFILE, now, now + now).drifted() == ()


def test_windows_add_up_like_their_rows() -> None:
    one, other = table(1, 500), table(2, 700)
    added = count_table(PROFILE, one) + count_table(PROFILE, other)
    whole = count_table(PROFILE, pa.concat_tables([one, other]))
    assert isinstance(added, CountedWindow)
    assert added.rows == whole.rows == 1_200
    assert {name: counts.tolist() for name, counts in added.features.items()} == {
        name: counts.tolist() for name, counts in whole.features.items()
    }
    assert added.scores is not None
    assert whole.scores is not None
    assert (added.scores == whole.scores).all()


def test_a_feature_that_is_sent_no_more_is_missing() -> None:
    report = drift_of(PROFILE, table(1).drop_columns(["job"]))
    assert feature(report, "job").found == ("missing values",)


def test_a_profile_keeps_its_meaning_on_disk(tmp_path: Any) -> None:
    PROFILE.save(tmp_path)
    assert ReferenceProfile.load(tmp_path) == PROFILE
    (tmp_path / "profile.json").unlink()
    assert ReferenceProfile.load(tmp_path) is None
