"""Bias tests that make no sense, over HTTP: a 4xx that says what is wrong, or insufficient evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from bentos.companion import Companion
from rollout.serving_store import follow_aliases, serving_epochs
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.conftest import Credit

Api = Callable[..., httpx.Response]
SECRET = "ada-lovelace-1815"


@pytest.fixture(autouse=True)
def served(companion: Companion, registry: FakeRegistry) -> None:
    seen = serving_epochs(companion.control)
    follow_aliases(companion.control, registry.aliased(), datetime.now(UTC), seen=seen)
    companion._follow_registry()


def decided(count: int = 200, **more: Any) -> dict[str, Any]:
    rows = [{"protected": {"SEX": "ab"[index % 2]}, "outcome": index // 2 % 2} for index in range(count)]
    return {"favourable": 1, "instances": rows, "predictions": [index // 4 % 2 for index in range(count)], **more}


def with_rows(**every: Any) -> dict[str, Any]:
    body = decided()
    body["instances"] = [row | every for row in body["instances"]]
    return body


def ask(api: Api, body: dict[str, Any]) -> httpx.Response:
    """Send a body as Python writes it, which has a word for NaN."""
    return api("POST", "/bias_test", content=json.dumps(body), headers={"content-type": "application/json"})


def verdict_of(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["verdict"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (with_rows(protected={}), "no row has a protected attribute"),
        (decided(protected=["RACE"]), "no row has the protected attribute 'RACE'; sent: SEX"),
        (decided(protected=[]), "no row has a protected attribute"),
        (decided(predictions=[1, 0]), "2 predictions for 200 rows"),
        (decided(predictions=[]), "0 predictions for 200 rows"),
        (decided(instances=[]), "no rows"),
        (decided(favourable="yes"), "the favourable label occurs in neither"),
        (decided(favourable=None), "favourable"),
        (decided(favourable={"a": 1}), "favourable: it must be text, a boolean or a finite number"),
        (decided(favourable=float("nan")), "favourable: it must be text, a boolean or a finite number"),
        (decided(predictions=[float("nan")] * 200), "predictions.0: it must be text, a boolean or a finite number"),
        (decided(predictions=[None] * 200), "predictions.0: it must be"),
        (decided(predictions=[index / 200 for index in range(200)]), "the predictions are scores"),
        (decided(predictions=[[1]] * 200), "predictions.0: it must be"),
        (with_rows(outcome="1"), "row 0: the outcome is none of the classes"),
        (with_rows(outcome=float("inf")), "instances.0.outcome: it must be"),
        (with_rows(protected={"SEX": [SECRET]}), "instances.0.protected.SEX: it must be"),
        (with_rows(protected=SECRET), "instances.0.protected"),
        (decided(alpha="small"), "alpha"),
        (decided(alpha=0.7), "alpha"),
        (decided(minimum_rows=0), "minimum_rows"),
        (decided(minimum_rows="many"), "minimum_rows"),
        (decided(surprise=SECRET), "surprise"),
        (
            decided(policy={"tolerances": [{"metric": "luck", "attribute": "SEX", "at_most": 0.1}]}),
            "policy.tolerances",
        ),
        (
            decided(
                policy={"tolerances": [{"metric": "demographic_parity_ratio", "attribute": "SEX", "at_most": 0.1}]}
            ),
            "takes `at_least`",
        ),
        (
            decided(
                policy={"tolerances": [{"metric": "demographic_parity_ratio", "attribute": "AGE", "at_least": 0.8}]}
            ),
            "protected attribute 'AGE' was asked for and not sent",
        ),
        (decided(flip={"SEX": ["a", "b"]}), "flip: the rows have to come with their features"),
        (decided(flip={"SEX": ["a", "a"]}), "flip: the two values of 'SEX' are the same"),
        (decided(flip={"SEX": ["a"]}), "flip.SEX"),
        (decided(flip={"SEX": [["a"], "b"]}), "flip.SEX.0: it must be"),
        (decided(proxies=True), "proxies: the rows have to come with their features"),
        (decided(proxies=SECRET), "proxies"),
        (decided(intersections=[["SEX"]]), "two or more different attributes"),
        (decided(intersections=[["SEX", "SEX"]]), "two or more different attributes"),
        (decided(intersections=[["SEX", "RACE"]]), "'RACE'"),
        (decided(edges={"SEX": [1]}), "has a value that is no number"),
        (decided(edges={"SEX": [2, 1]}), "edges that do not rise"),
        (decided(edges={"SEX": []}), "edges that do not rise"),
        (decided(edges={"SEX": [float("nan")]}), "edges.SEX.0"),
        (decided(edges={"AGE": [1]}), "'AGE'"),
        (decided(references={"SEX": "c"}), "'SEX'"),
        (decided(references={"AGE": "c"}), "'AGE'"),
        (decided(version="1"), "neither without a model"),
        (decided(window={}), "instances and window are two tests"),
        ({"favourable": 1, "dataset": "d", "protected": []}, "protected"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_reason(api: Api, body: dict[str, Any], message: str) -> None:
    answer = ask(api, body)
    assert 400 <= answer.status_code < 500, answer.text
    assert message in answer.json()["error"]["message"]
    assert SECRET not in answer.text
    assert api("GET", "/api/v1/bias-tests").json()["total"] == 0


@pytest.mark.parametrize("text", ["a\ud800", "a\x00b"])
@pytest.mark.parametrize("more", [{}, {"task": True}])
def test_text_that_nobody_can_keep_is_refused(
    api: Api, companion: Companion, text: str, more: dict[str, Any]
) -> None:
    answer = ask(api, with_rows(protected={"SEX": text}) | more)
    if more:
        companion.loops["bias-tests"][0]()
        task = api("GET", f"/api/v1/bias-tests/{answer.json()['id']}").json()
        assert (task["state"], "surrogate pair" in task["reason"]) == ("failed", True)
        return
    assert answer.status_code == 422
    assert "surrogate pair" in answer.json()["error"]["message"]


def test_ten_thousand_groups_are_a_measurement_and_no_groups(api: Api) -> None:
    rows = [{"protected": {"AGE": str(index)}, "outcome": index % 2} for index in range(10_000)]
    answer = ask(api, {"favourable": 1, "instances": rows, "predictions": [index % 2 for index in range(10_000)]})
    assert answer.status_code == 422
    assert "protected attribute 'AGE' has 10000 different values (at most" in answer.json()["error"]["message"]


def test_text_where_the_model_takes_numbers_names_the_row_and_the_column(api: Api, credit: Credit) -> None:
    rows = [row | {"protected": {"SEX": "a"}} for row in credit.instances(5)]
    rows[3]["features"] = rows[3]["features"] | {"age": SECRET}
    answer = ask(api, {"favourable": 1, "model": "credit", "instances": rows})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "signature_mismatch")
    assert "row 3, column 'age'" in error["message"]
    assert SECRET not in answer.text


def test_one_group_is_insufficient_evidence(api: Api) -> None:
    answer = ask(api, with_rows(protected={"SEX": "a"}))
    assert verdict_of(answer) == "insufficient_evidence"
    assert {found["value"] for found in answer.json()["attributes"][0]["disparities"]} == {None}


@pytest.mark.parametrize(("predictions", "outcome"), [([0] * 200, 1), ([1] * 200, 1), ([1] * 200, 0)])
def test_where_all_have_one_label_nothing_is_made_up(api: Api, predictions: list[int], outcome: int) -> None:
    answer = ask(api, with_rows(outcome=outcome) | {"predictions": predictions})
    assert verdict_of(answer) == "insufficient_evidence"
    (attribute,) = answer.json()["attributes"]
    undefined = "false_positive_rate" if outcome else "true_positive_rate"
    for group in attribute["groups"]:
        assert group[undefined]["value"] is None
        assert group[undefined]["reason"]


def test_an_attribute_that_is_missing_for_some_rows_is_counted_and_not_compared(api: Api) -> None:
    body = decided()
    for row in body["instances"][:50]:
        row["protected"] = {"SEX": None}
    for row in body["instances"][50:70]:
        row["protected"] = {}
    (attribute,) = ask(api, body).json()["attributes"]
    assert [(group["group"], group["rows"]) for group in attribute["groups"]] == [
        ("a", 65),
        ("b", 65),
        ("unknown", 70),
    ]
    assert attribute["groups"][2]["compared"] == []
    assert "70 rows have no value" in attribute["notes"][0]


def test_a_missing_decision_in_a_data_set_names_its_row(api: Api) -> None:
    csv = "decided,sex\n1,a\n,b\n0,a\n"
    api("POST", "/api/v1/datasets?name=gaps", content=csv)
    body = {"dataset": "gaps", "favourable": 1, "protected": ["sex"], "prediction": "decided"}
    assert "row 1 has no prediction" in ask(api, body).json()["error"]["message"]
    texts = "decided,sex\nyes,a\nno,b\n"
    api("POST", "/api/v1/datasets?name=texts", content=texts)
    assert "neither the predictions" in ask(api, body | {"dataset": "texts"}).json()["error"]["message"]
