from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from fairness.report import measure
from inference.decision import Decision
from training.errors import DecisionError, ThresholdError
from training.evaluation import Measurements
from training.gates import gate_results
from training.policy import Gates
from training.score_counts import EVALUATION_FILE, ScoreCounts, count_scores, threshold_step

GATES = Gates.model_validate(
    {
        "quality": [{"metric": "accuracy", "at_least": 0.6}, {"metric": "brier", "at_most": 0.3}],
        "bias": [
            {"metric": "equalized_odds_difference", "attribute": "sex", "at_most": 0.2},
            {"metric": "demographic_parity_ratio", "attribute": "age", "at_least": 0.7, "required_groups": ["*"]},
        ],
        "minimum_rows": 5,
    }
)
STEPS = st.integers(0, 1000)


def _rows(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return probabilities, half of them right at a threshold or a neighbour of one, labels and groups."""
    draw = np.random.default_rng(seed)
    at = draw.integers(0, 1001, rows) / 1000
    beside = np.clip(np.nextafter(at, draw.choice([-1.0, 2.0], rows)), 0.0, 1.0)
    probabilities = np.choose(draw.integers(0, 4, rows), [at, beside, draw.random(rows), draw.random(rows)])
    groups = {
        "sex": draw.choice(np.array(["f", "m", None], dtype=object), rows, p=[0.5, 0.45, 0.05]),
        "age": draw.integers(0, 4, rows),
    }
    return probabilities, draw.random(rows) < 0.2 + 0.6 * probabilities, groups


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 400), step=STEPS, second=st.booleans())
def test_counts_measure_every_threshold_as_the_rows_do(seed: int, rows: int, step: int, second: bool) -> None:
    probabilities, positive, groups = _rows(seed, rows)
    classes = ("bad", "good")
    truth = np.array(classes)[positive.astype(int)]
    favourable = classes[int(second)]
    scores = count_scores(
        probabilities,
        truth,
        groups,
        classes=classes,
        favourable=favourable,
        quality={"accuracy": 0.5, "brier": 0.2, "roc_auc": 0.8},
        gates=GATES,
    )
    threshold = step / 1000
    pair = np.column_stack([1 - probabilities, probabilities])
    predicted = np.array(classes)[Decision(threshold=threshold).indices(pair)]
    expected = Measurements(
        rows,
        {"accuracy": accuracy_score(truth, predicted), "brier": 0.2, "roc_auc": 0.8},
        measure(groups, truth, predicted, favourable, GATES.bias_policy, minimum_rows=5, classes=classes),
    )

    restored = ScoreCounts.model_validate_json(scores.model_dump_json())
    assert restored == scores
    assert restored.at(threshold) == expected
    assert gate_results(restored.at(threshold), GATES) == gate_results(expected, GATES)


@given(STEPS)
def test_a_step_is_the_number_that_a_person_writes(step: int) -> None:
    assert threshold_step(float(f"{step / 1000:.3f}")) == step


@pytest.mark.parametrize("threshold", [0.1234, 0.12000000001, -0.001, 1.001, float("nan"), float("inf")])
def test_a_threshold_between_the_steps_is_refused(threshold: float) -> None:
    with pytest.raises(ThresholdError, match="from 0 to 1 with at most three decimals"):
        threshold_step(threshold)


def _counts(**changes: Any) -> ScoreCounts:
    facts = {
        "probabilities": np.array([0.2, 0.7]),
        "truth": np.array([False, True]),
        "protected": {},
        "classes": (False, True),
        "favourable": True,
        "quality": {},
        "gates": Gates(),
    }
    return count_scores(**{**facts, **changes})


def test_without_protected_attributes_no_bias_is_measured() -> None:
    assert _counts().at(0.5) == Measurements(2, {"accuracy": 1.0}, None)


@pytest.mark.parametrize("classes", [(0, 1), (False, True), ("0", "1")])
def test_labels_keep_their_type_in_the_file(classes: tuple[Any, Any], tmp_path: Path) -> None:
    _counts(truth=np.array(classes), classes=classes, favourable=classes[0]).save(tmp_path)
    found = ScoreCounts.load(tmp_path, "credit/1")
    assert [type(label) for label in (*found.classes, found.favourable)] == [type(classes[0])] * 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "without the evaluation that its gates are measured on; train it again"),
        ("{}", "cannot be read"),
        (_counts().model_dump_json().replace('"200"', '"1001"'), "cannot be read"),
        (_counts().model_dump_json().replace('"200":1', '"200":-1'), "cannot be read"),
        (_counts().model_dump_json().replace('"format":1', '"format":2'), "cannot be read"),
        (_counts().model_dump_json().replace('"favourable":true', '"favourable":"yes"'), "cannot be read"),
        (_counts().model_dump_json().replace(":1}", ":0}"), "cannot be read"),
    ],
)
def test_counts_that_are_missing_or_damaged_are_refused(tmp_path: Path, content: str | None, reason: str) -> None:
    if content is not None:
        (tmp_path / EVALUATION_FILE).write_text(content)
    with pytest.raises(DecisionError, match=reason):
        ScoreCounts.load(tmp_path, "credit/1")
