from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from assessment.bias_test import Scored, Scorer, assess, run
from assessment.errors import EmptyTestError, NotAClassifierError, RowCountError, UnknownLabelError
from assessment.request import BiasTestRequest
from assessment.result import BiasTestResult
from fairness.errors import UnknownAttributeError, UnseenLabelError
from fairness.gate import Verdict, default_policy

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def rows(n: int = 2000, *, unfair: bool = False) -> list[dict[str, Any]]:
    """People whose feature `good` decides; with `unfair`, fewer of group 2 have it at the same outcomes."""
    generator = np.random.default_rng(11)
    table = []
    for _ in range(n):
        sex, outcome = str(generator.integers(1, 3)), int(generator.random() < 0.5)
        good = int(generator.random() < (0.9 if outcome else 0.4))
        if unfair and sex == "2" and generator.random() < 0.5:
            good = 0
        table.append({"features": {"good": good}, "protected": {"SEX": sex}, "outcome": outcome})
    return table


def request(instances: list[dict[str, Any]], **more: Any) -> BiasTestRequest:
    return BiasTestRequest.model_validate({"favourable": 1, "instances": instances, "model": "credit", **more})


def serve(bias_request: BiasTestRequest) -> Scored:
    """A served model whose decision is the feature `good`."""
    predictions = [instance.features["good"] for instance in bias_request.instances if instance.features]
    return Scored("credit", "3", (0, 1), np.array(predictions))


def answer(*labels: Any, classes: tuple[Any, ...] = (0, 1)) -> Scorer:
    return lambda _: Scored("credit", "3", classes, list(labels))


def bias_test_of(bias_request: BiasTestRequest, scorer: Scorer = serve) -> BiasTestResult:
    return run(bias_request, scorer, test_id="t-1", created_at=NOW)


def test_a_fair_model_passes_and_an_unfair_one_fails() -> None:
    assert bias_test_of(request(rows(6000))).verdict is Verdict.PASS
    assert bias_test_of(request(rows(unfair=True))).verdict is Verdict.FAIL


def test_the_answer_is_the_documented_json() -> None:
    body = json.loads(bias_test_of(request(rows())).model_dump_json())
    assert {
        key: body[key] for key in ("test_id", "model", "model_version", "created_at", "rows", "favourable")
    } == {
        "test_id": "t-1",
        "model": "credit",
        "model_version": "3",
        "created_at": "2026-01-02T03:04:05Z",
        "rows": 2000,
        "favourable": 1,
    }
    attribute = body["attributes"][0]
    assert attribute["attribute"] == "SEX"
    assert [group["group"] for group in attribute["groups"]] == ["1", "2"]
    assert {"value", "lower", "upper", "reason"} <= set(attribute["groups"][0]["selection_rate"])
    assert {"metric", "value", "lower", "upper", "verdict", "gating", "limit", "highest", "lowest", "note"} <= set(
        attribute["disparities"][0]
    )


def test_decisions_that_are_sent_are_not_scored_again() -> None:
    table = rows(unfair=True)
    sent = request([{**row, "features": None} for row in table], predictions=[r["features"]["good"] for r in table])

    def refuse(_: BiasTestRequest) -> Scored:
        raise AssertionError("scored")

    result = bias_test_of(sent, refuse)
    assert result.source == "predictions"
    assert result.attributes == bias_test_of(request(table)).attributes


def test_an_attribute_missing_in_some_rows_is_the_group_unknown() -> None:
    table = rows()
    for row in table[:100]:
        row["protected"] = {}
    attribute = bias_test_of(request(table)).attributes[0]
    assert [(group.group, group.compared) for group in attribute.groups if group.group == "unknown"] == [
        ("unknown", ())
    ]
    assert attribute.notes[0].startswith("100 rows have no value")


def test_one_group_alone_is_insufficient_evidence_and_not_a_perfect_score() -> None:
    result = bias_test_of(request([{**row, "protected": {"SEX": "1"}} for row in rows()]))
    assert result.verdict is Verdict.INSUFFICIENT_EVIDENCE
    assert {disparity.value for disparity in result.attributes[0].disparities} == {None}


def test_without_outcomes_only_selection_is_judged() -> None:
    result = bias_test_of(request([{**row, "outcome": None} for row in rows(6000)]))
    judged = [str(d.metric) for d in result.attributes[0].disparities if d.verdict is not None]
    assert judged == ["demographic_parity_difference", "demographic_parity_ratio"]
    assert "no outcomes are known" in result.notes[0]


def test_a_policy_in_the_request_replaces_the_default() -> None:
    policy = {"tolerances": [{"metric": "equal_opportunity_difference", "attribute": "SEX", "at_most": 0.6}]}
    result = bias_test_of(request(rows(unfair=True), policy=policy))
    assert result.verdict is Verdict.PASS
    with pytest.raises(UnknownAttributeError):
        bias_test_of(request(rows(), policy=default_policy(["AGE"]).model_dump()))


def test_a_label_nobody_got_is_insufficient_where_the_model_knows_it() -> None:
    table = [{**row, "outcome": None} for row in rows()]
    result = bias_test_of(request(table), answer(*[0] * len(table)))
    assert result.verdict is Verdict.INSUFFICIENT_EVIDENCE


def test_a_label_nobody_got_is_refused_where_no_model_vouches_for_it() -> None:
    table = [{**row, "outcome": None} for row in rows(4)]
    with pytest.raises(UnseenLabelError):
        bias_test_of(request(table, predictions=[0] * 4))


@pytest.mark.parametrize(
    ("favourable", "outcome", "message"),
    [("1", 1, "the favourable label is none of the classes"), (1, "1", "row 0: the outcome"), (1, 7, "row 0")],
)
def test_a_label_the_model_does_not_have_is_refused(favourable: Any, outcome: Any, message: str) -> None:
    table = [{**row, "outcome": outcome} for row in rows(4)]
    with pytest.raises(UnknownLabelError, match=message):
        bias_test_of(request(table, favourable=favourable))


def test_outcomes_of_another_type_than_the_decisions_are_refused() -> None:
    table = [{**row, "outcome": str(row["outcome"])} for row in rows(40)]
    with pytest.raises(UnknownLabelError, match="1 is not '1'"):
        bias_test_of(request(table, predictions=[row["features"]["good"] for row in table]))


def test_a_regressor_has_no_favourable_label() -> None:
    with pytest.raises(NotAClassifierError, match="send thresholded `predictions`"):
        bias_test_of(request(rows(2)), answer(0.2, 0.7, classes=()))


def test_a_scorer_that_loses_a_row_is_noticed() -> None:
    with pytest.raises(RowCountError):
        bias_test_of(request(rows(3)), answer(1, 0))


def test_scoring_apart_gives_the_same_result() -> None:
    bias_request = request(rows())
    assert assess(bias_request, serve(bias_request), test_id="t-1", created_at=NOW) == bias_test_of(bias_request)


def test_no_rows_are_refused() -> None:
    with pytest.raises(EmptyTestError):
        bias_test_of(request([]))


def test_the_result_survives_json() -> None:
    result = bias_test_of(request(rows()))
    assert BiasTestResult.model_validate_json(result.model_dump_json()) == result
