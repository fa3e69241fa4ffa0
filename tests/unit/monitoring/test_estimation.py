"""Performance without outcomes, held to the outcomes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from monitoring.cells import count_scores, sparse
from monitoring.estimation import Confusion, calibrate, estimate, realised_metric
from monitoring.profile import ReferenceProfile, ScoreProfile

Rows = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]


def rows(seed: int, n: int, tilt: float = 2.0) -> Rows:
    """Return scores that are too sure of themselves, decisions and outcomes."""
    draw = np.random.default_rng(seed)
    chance = draw.beta(tilt, 2, n)
    score = chance**2 / (chance**2 + (1 - chance) ** 2)
    return score, score >= 0.5, draw.random(n) < chance


def profile(found: Rows) -> ScoreProfile:
    score, decided, true = found
    counts, positives = count_scores(score, decided), count_scores(score[true], decided[true])
    return ScoreProfile(
        counts=(sparse(counts[0]), sparse(counts[1])), positives=(sparse(positives[0]), sparse(positives[1]))
    )


def confusion(found: Rows) -> Confusion:
    _, decided, true = found
    cells = metrics.confusion_matrix(true, decided, labels=[False, True])
    return Confusion(tn=cells[0, 0], fp=cells[0, 1], fn=cells[1, 0], tp=cells[1, 1])


def test_metrics_of_known_outcomes_are_those_of_scikit_learn() -> None:
    found = rows(0, 500)
    _, decided, true = found
    known = confusion(found)
    assert realised_metric("accuracy", known) == pytest.approx(metrics.accuracy_score(true, decided))
    assert realised_metric("precision", known) == pytest.approx(metrics.precision_score(true, decided))
    assert realised_metric("recall", known) == pytest.approx(metrics.recall_score(true, decided))
    assert realised_metric("f1", known) == pytest.approx(metrics.f1_score(true, decided))
    assert realised_metric("outcome_rate", known) == pytest.approx(true.mean())


def test_the_interval_holds_what_comes_true_about_as_often_as_it_says() -> None:
    held = dict.fromkeys(("accuracy", "precision", "recall", "f1", "outcome_rate"), 0)
    for seed in range(200):
        calibration = calibrate(profile(rows(2 * seed, 3_000)))
        later = rows(2 * seed + 1, 800, tilt=1.5)  # other people, the same meaning of a score
        assert calibration is not None
        found = estimate(calibration, count_scores(later[0], later[1]), confusion(later))
        assert found is not None
        for one in found.metrics:
            assert one.realised is not None
            held[one.metric] += one.lower <= one.realised <= one.upper
    assert all(180 <= times <= 199 for times in held.values()), held


def test_calibration_undoes_a_score_that_is_too_sure_of_itself() -> None:
    calibration = calibrate(profile(rows(0, 100_000)))
    assert calibration is not None
    assert (np.diff(calibration.share) >= 0).all()
    assert calibration.share[900] == pytest.approx(0.75, abs=0.03)  # 0.9 is said where 0.75 is so


def test_where_the_meaning_of_features_changed_the_estimate_does_not_see_it() -> None:
    calibration = calibrate(profile(rows(0, 20_000)))
    score, decided, true = rows(1, 20_000)
    assert calibration is not None
    found = estimate(calibration, count_scores(score, decided), confusion((score, decided, ~true)))
    assert found is not None
    accuracy = found.metrics[0]
    assert accuracy.realised is not None
    assert accuracy.realised < accuracy.lower


def test_what_has_no_value_is_left_out() -> None:
    calibration = calibrate(profile(rows(0, 1_000)))
    assert calibration is not None
    nobody = estimate(calibration, count_scores(np.array([0.1, 0.2]), np.array([False, False])))
    assert nobody is not None
    assert [one.metric for one in nobody.metrics] == ["accuracy", "recall", "f1", "outcome_rate"]
    assert estimate(calibration, count_scores(np.empty(0), np.empty(0, dtype=bool))) is None
    assert calibrate(ScoreProfile(counts=({}, {}))) is None
    assert calibrate(ScoreProfile(counts=({}, {}), positives=({}, {}))) is None


def test_another_threshold_makes_another_profile_of_the_same_scores() -> None:
    score, decided, true = rows(0, 1_000)
    whole = ReferenceProfile(
        source="registered",
        feature_rows=0,
        scored_rows=1_000,
        classes=(0, 1),
        features={},
        score=profile((score, decided, true)),
    )
    assert whole.at(300).score == profile((score, score >= 0.3, true))
    moved = whole.at(300).prediction
    assert moved is not None
    assert moved.counts == (int((score < 0.3).sum()), int((score >= 0.3).sum()), 0)
