"""`/api/v1/bias-v2`: the requests that FairMind's frontend sends, and answers in the shapes that it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

Api = Callable[..., httpx.Response]
V2 = "/api/v1/bias-v2"
ENTRY = {"score", "passed", "disparity", "group_scores", "interpretation", "recommendations"}
ANSWER = {
    "test_id",
    "model_id",
    "timestamp",
    "overall_risk",
    "metrics_passed",
    "metrics_failed",
    "results",
    "summary",
    "recommendations",
}
LLM = {
    "model_id": "llm",
    "dataset_id": None,
    "metrics": ["sentiment_disparity"],
    "results": {"sentiment_disparity": {"score": 0.3, "passed": False, "recommendations": ["look"]}},
}


def csv(rows: int = 4_000, unfair: float = 0.0) -> bytes:
    random = np.random.default_rng(5)
    lines = ["prediction,gender,ground_truth"]
    for _ in range(rows):
        truth, gender = random.integers(2), random.integers(2)
        chance = (0.8 if truth else 0.3) - (unfair if gender else 0.0)
        lines.append(f"{int(random.random() < chance)},{['female', 'male'][gender]},{truth}")
    return ("\n".join(lines) + "\n").encode()


def upload(api: Api, content: bytes) -> dict[str, Any]:
    answer = api("POST", f"{V2}/upload-dataset", files={"file": ("people.csv", content, "text/csv")})
    assert answer.status_code == 200, answer.text
    kept: dict[str, Any] = answer.json()
    return kept


def asked(dataset_id: str, **more: Any) -> dict[str, Any]:
    """Return the body that FairMind's page sends."""
    return {
        "model_id": "test-model",
        "dataset_id": dataset_id,
        "protected_attribute": "gender",
        "prediction_column": "prediction",
        "ground_truth_column": "ground_truth",
        "fairness_threshold": 0.8,
        "metrics": ["demographic_parity", "equalized_odds", "equal_opportunity"],
        **more,
    }


def test_the_page_uploads_detects_and_finds_the_test_again(api: Api) -> None:
    kept = upload(api, csv(unfair=0.25))
    assert set(kept) == {"dataset_id", "rows", "columns", "preview"}
    assert (kept["rows"], kept["columns"], len(kept["preview"])) == (
        4_000,
        ["prediction", "gender", "ground_truth"],
        5,
    )
    detected = api("POST", f"{V2}/detect?org_id=7", json=asked(kept["dataset_id"])).json()
    assert set(detected) == ANSWER
    assert list(detected["results"]) == ["demographic_parity", "equalized_odds", "equal_opportunity"]
    assert all(set(entry) >= ENTRY for entry in detected["results"].values())
    assert (detected["overall_risk"], detected["metrics_failed"]) == ("critical", 3)
    assert api("GET", f"{V2}/test/{detected['test_id']}").json() == detected
    ours = api("GET", f"/api/v1/bias-tests/{detected['test_id']}").json()
    assert (ours["verdict"], ours["dataset"], ours["model"]) == ("fail", kept["dataset_id"], "test-model")
    assert api("GET", f"/api/v1/bias-tests/{detected['test_id']}/report.html").status_code == 200
    (entry,) = api("GET", f"{V2}/history", params={"model_id": "test-model", "test_type": "ml_bias"}).json()[
        "tests"
    ]
    assert (entry["test_id"], entry["id"], entry["overall_risk"]) == (
        detected["test_id"],
        detected["test_id"],
        "critical",
    )


def test_a_form_that_says_it_is_json_is_taken_as_fairminds_page_sends_it(api: Api) -> None:
    form = httpx.Request("POST", "http://x", files={"file": ("people.csv", csv(50), "text/csv")})
    answer = api("POST", f"{V2}/upload-dataset", content=form.read(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["rows"]) == (200, 50)


def test_few_rows_pass_nothing_and_fail_nothing(api: Api) -> None:
    detected = api("POST", f"{V2}/detect", json=asked(upload(api, csv(60))["dataset_id"])).json()
    assert {entry["passed"] for entry in detected["results"].values()} == {None}
    assert detected["overall_risk"] == "unknown"
    assert all("not enough evidence" in entry["interpretation"] for entry in detected["results"].values())


def test_without_ground_truth_only_selection_is_judged(api: Api) -> None:
    dataset = upload(api, csv())["dataset_id"]
    detected = api("POST", f"{V2}/detect", json=asked(dataset, ground_truth_column=None)).json()
    assert [entry["passed"] for entry in detected["results"].values()] == [True, None, None]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"dataset_id": "nope"}, 404, "no data set 'nope'"),
        ({"protected_attribute": "race"}, 422, "no column 'race'"),
        ({"prediction_column": "p"}, 422, "no column 'p'"),
        ({"ground_truth_column": "t"}, 422, "no column 't'"),
        ({"positive_label": "yes"}, 422, "favourable label"),
        ({"fairness_threshold": 1.5}, 422, "fairness_threshold"),
        ({"metrics": ["luck"]}, 422, "there are the metrics"),
        ({"dataset_id": None}, 422, "dataset_id"),
    ],
)
def test_what_cannot_be_tested_says_why(api: Api, change: dict[str, Any], status: int, message: str) -> None:
    answer = api("POST", f"{V2}/detect", json=asked(upload(api, csv(50))["dataset_id"]) | change)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]["message"]
    assert answer.json()["detail"] == answer.json()["error"]["message"]


def test_a_record_of_a_language_model_is_kept_and_one_without_results_is_not_made_up(api: Api) -> None:
    refused = api("POST", f"{V2}/detect-llm", json={k: v for k, v in LLM.items() if k != "results"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (501, "not_supported")
    kept = api("POST", f"{V2}/detect-llm", json=LLM).json()
    assert set(kept) == ANSWER
    assert (kept["overall_risk"], kept["recommendations"]) == ("medium", ["look"])
    assert api("GET", f"{V2}/test/{kept['test_id']}").json() == kept
    ours = api("GET", f"/api/v1/bias-tests/{kept['test_id']}").json()
    assert (ours["test_type"], ours["record"]) == ("llm_bias", kept)
    report = api("GET", f"/api/v1/bias-tests/{kept['test_id']}/report.html")
    assert (report.status_code, report.json()["error"]["code"]) == (409, "no_report")


def test_statistics_have_both_the_backends_and_the_frontends_fields(api: Api) -> None:
    nothing = api("GET", f"{V2}/statistics").json()
    assert (nothing["total_tests"], nothing["pass_rate"], nothing["recent_tests"]) == (0, None, [])
    dataset = upload(api, csv())["dataset_id"]
    detected = api("POST", f"{V2}/detect", json=asked(dataset)).json()
    api("POST", f"{V2}/detect-llm", json=LLM)
    counted = api("GET", f"{V2}/statistics").json()
    assert (counted["total_tests"], counted["ml_tests"], counted["llm_tests"]) == (2, 1, 1)
    assert counted["by_type"] == {"ml_bias": 1, "llm_bias": 1}
    assert set(counted["risk_distribution"]) == {"low", "medium", "high", "critical"}
    assert counted["metrics_passed"] == detected["metrics_passed"]
    judged = detected["metrics_passed"] + detected["metrics_failed"] + 1
    assert counted["pass_rate"] == round(100 * detected["metrics_passed"] / judged, 2)
    assert [test["test_type"] for test in counted["recent_tests"]] == ["llm_bias", "ml_bias"]
    assert api("GET", f"{V2}/statistics", params={"model_id": "llm"}).json()["total_tests"] == 1


def test_data_sets_are_listed_shown_with_their_first_rows_and_deleted(api: Api) -> None:
    dataset = upload(api, csv(50))["dataset_id"]
    listed = api("GET", f"{V2}/datasets").json()
    assert set(listed) == {"datasets", "total", "limit", "offset"}
    assert set(listed["datasets"][0]) == {"id", "filename", "rows", "columns", "uploaded_at", "file_size_bytes"}
    shown = api("GET", f"{V2}/datasets/{dataset}").json()
    assert (shown["dataset_id"], len(shown["preview"])) == (dataset, 10)
    assert shown["column_types"] == {"prediction": "int64", "gender": "str", "ground_truth": "int64"}
    assert api("DELETE", f"{V2}/datasets/{dataset}").json() == {
        "message": f"Dataset {dataset} deleted successfully"
    }
    assert api("GET", f"{V2}/datasets/{dataset}").status_code == 404
