"""`/bias_test` and `/api/v1/bias-tests`: what is run is kept, listed and shown; large ones run as tasks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from assessment import task_queue
from assessment.result import BiasTestResult
from assessment.settings import AssessmentSettings
from bentos.companion import Companion
from bentos.control_api import control_api
from rollout.serving_store import follow_aliases, serving_epochs
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.conftest import Credit

Api = Callable[..., httpx.Response]
TESTS = "/api/v1/bias-tests"


@pytest.fixture(autouse=True)
def served(companion: Companion, registry: FakeRegistry) -> None:
    seen = serving_epochs(companion.control)
    follow_aliases(companion.control, registry.aliased(), datetime.now(UTC), seen=seen)
    companion._follow_registry()


def body(credit: Credit, count: int = 400, **more: Any) -> dict[str, Any]:
    rows = credit.instances(count)
    for index, row in enumerate(rows):
        row |= {"protected": {"SEX": "ab"[index % 2]}, "outcome": index % 3 and 1}
    return {"favourable": 1, "instances": rows, "model": "credit", **more}


def decided(count: int = 4_000, **more: Any) -> dict[str, Any]:
    rows = [{"protected": {"SEX": "ab"[index % 2]}, "outcome": index // 2 % 2} for index in range(count)]
    return {"favourable": 1, "instances": rows, "predictions": [index // 4 % 2 for index in range(count)], **more}


def work(companion: Companion) -> None:
    companion.loops["bias-tests"][0]()


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


@pytest.mark.parametrize("path", ["/bias_test", TESTS])
def test_a_test_is_answered_and_kept(api: Api, credit: Credit, path: str) -> None:
    answer = api("POST", path, json=body(credit), headers={"X-Fairmind-Principal": "0123456789ab"})
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert (result["model"], result["model_version"]) == ("credit", "1")
    assert (result["source"], result["rows"]) == ("scored", 400)
    kept = api("GET", f"{TESTS}/{result['test_id']}").json()
    assert kept["result"] == result
    assert (kept["state"], kept["user_id"], kept["model_version"]) == ("done", "0123456789ab", "1")
    assert kept["metadata"]["protected_attributes"] == ["SEX"]
    listed = api("GET", TESTS).json()
    assert (listed["total"], [test["id"] for test in listed["bias_tests"]]) == (1, [result["test_id"]])


def test_lists_are_filtered_and_paged(api: Api) -> None:
    ids = [api("POST", TESTS, json=decided(model=name)).json()["test_id"] for name in ("x", "y", "x")]
    found = api("GET", TESTS, params={"model": "x", "limit": 1, "offset": 1}).json()
    assert (found["total"], [test["id"] for test in found["bias_tests"]]) == (2, [ids[0]])
    verdict = api("GET", f"{TESTS}/{ids[0]}").json()["verdict"]
    assert api("GET", TESTS, params={"verdict": verdict}).json()["total"] == 3
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert api("GET", TESTS, params={"since": later}).json()["total"] == 0
    for wrong in ({"verdict": "bad"}, {"limit": 0}, {"since": "yesterday"}, {"since": "0"}, {"colour": "red"}):
        assert refused(api("GET", TESTS, params=wrong))[:2] == (422, "invalid_request")


def test_a_test_is_shown_as_a_page_and_as_a_model_card(api: Api) -> None:
    test_id = api("POST", TESTS, json=decided(model="m")).json()["test_id"]
    page = api("GET", f"{TESTS}/{test_id}/report.html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!DOCTYPE html>")
    assert test_id in page.text
    card = api("GET", f"{TESTS}/{test_id}/model-card.md")
    assert card.headers["content-type"] == "text/markdown; charset=utf-8"
    assert card.text.startswith("## Fairness")


def test_an_unknown_test_is_404_everywhere(api: Api) -> None:
    for path in ("", "/report.html", "/model-card.md"):
        assert refused(api("GET", f"{TESTS}/nope{path}"))[:2] == (404, "bias_test_not_found")


def test_the_schema_of_a_result_is_published_and_a_result_fits_it(api: Api) -> None:
    schema = api("GET", f"{TESTS}/schema.json").json()
    assert schema["$id"] == f"{TESTS}/schema.json"
    result = api("POST", TESTS, json=decided()).json()
    assert set(result) == set(schema["properties"])
    assert set(schema["required"]) <= set(result)
    assert TypeAdapter(BiasTestResult).validate_python(result).test_id == result["test_id"]
    document = api("GET", "/api/v1/openapi.json").json()
    assert "BiasTestResult" in document["components"]["schemas"]


def test_the_document_lists_every_route_about_tests_and_data_sets(api: Api) -> None:
    paths = api("GET", "/api/v1/openapi.json").json()["paths"]
    fairmind = ("upload-dataset", "detect", "detect-llm", "test/{test_id}", "history", "statistics", "datasets")
    assert {path for path in paths if path.startswith(("/api/v1/bias-", "/api/v1/datasets"))} == {
        TESTS,
        f"{TESTS}/schema.json",
        f"{TESTS}/{{test_id}}",
        f"{TESTS}/{{test_id}}/report.html",
        f"{TESTS}/{{test_id}}/model-card.md",
        "/api/v1/datasets",
        "/api/v1/datasets/{name}",
        *(f"/api/v1/bias-v2/{path}" for path in fairmind),
        "/api/v1/bias-v2/datasets/{dataset_id}",
    }
    form = paths["/api/v1/datasets"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["file"]


def test_what_else_is_measured_is_in_the_answer_the_page_and_the_card(api: Api, credit: Credit) -> None:
    asked = body(credit, flip={"job": ["nurse", "smith"], "SEX": ["a", "b"]}, proxies=True, fairlearn_compat=True)
    for index, row in enumerate(asked["instances"]):
        row["protected"] |= {"AGE": row["features"]["age"], "HAND": "lr"[index // 2 % 2]}
    asked |= {"intersections": [["SEX", "HAND"]], "edges": {"AGE": [30, 50]}, "references": {"SEX": "b"}}
    answer = api("POST", TESTS, json=asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    by_name = {attribute["attribute"]: attribute for attribute in found["attributes"]}
    assert list(by_name) == ["SEX", "AGE", "HAND", "SEX × HAND"]
    assert [group["group"] for group in by_name["AGE"]["groups"]] == ["< 30", "30 to < 50", "≥ 50"]
    assert [group["group"] for group in by_name["SEX × HAND"]["groups"]] == ["a × l", "a × r", "b × l", "b × r"]
    assert {one["reference"] for one in by_name["SEX"]["comparisons"]} == {"b"}
    assert by_name["SEX"]["disparities"][0]["fairlearn"] is not None
    assert {family["purpose"] for family in found["families"]} == {"gate", "exploration"}
    assert set(found["individual"]) == {"theil_index", "generalized_entropy_index"}
    job, sex = found["flips"]
    assert [group["group"] for group in job["groups"]] == ["nurse", "smith"]
    assert job["groups"][0]["gained"] > 0 == job["groups"][1]["gained"]
    assert (sex["groups"], sex["reason"][:27]) == ([], "the model has no feature of")
    assert [report["attribute"] for report in found["proxies"]] == ["SEX", "AGE", "HAND"]
    assert {proxy["feature"] for proxy in found["proxies"][0]["features"]} == {"age", "amount", "job"}
    assert api("GET", f"{TESTS}/{found['test_id']}").json()["result"] == found
    page = api("GET", f"{TESTS}/{found['test_id']}/report.html").text
    card = api("GET", f"{TESTS}/{found['test_id']}/model-card.md").text
    for told in ("Each group beside ", "What the features tell", "Decisions with nothing but", "Tests corrected"):
        assert told in page
        assert told in card


def test_a_data_set_is_flipped_and_searched_for_proxies_too(api: Api, credit: Credit) -> None:
    api("POST", "/api/v1/datasets?name=people", content=people(credit).to_csv(index=False))
    asked = {"dataset": "people", "favourable": 1, "protected": ["SEX"], "label": "outcome", "proxies": True}
    scored = api("POST", TESTS, json=asked | {"model": "credit", "flip": {"job": ["nurse", "smith"]}}).json()
    concerned = int(credit.frame["job"].isin(["nurse", "smith"]).sum())
    assert scored["flips"][0]["rows"] == concerned
    assert {proxy["feature"] for proxy in scored["proxies"][0]["features"]} == {"age", "amount", "job"}
    brought = api("POST", TESTS, json=asked | {"prediction": "decided"}).json()
    assert brought["proxies"] == scored["proxies"]
    refusal = api("POST", TESTS, json=asked | {"prediction": "decided", "flip": {"job": ["nurse", "smith"]}})
    assert refused(refusal)[2] == (
        "flip: the rows have to come with their features; leave out `prediction`, and the model is asked"
    )


# ---- tasks ----


def test_a_task_waits_runs_and_has_the_same_result(api: Api, companion: Companion, credit: Credit) -> None:
    at_once = api("POST", TESTS, json=body(credit)).json()
    asked = api("POST", TESTS, json=body(credit, task=True))
    assert asked.status_code == 202, asked.text
    task = asked.json()
    assert asked.headers["location"] == f"{TESTS}/{task['id']}"
    assert (task["state"], task["progress"], task["model"]) == ("queued", 0.0, "credit")
    code = refused(api("GET", f"{TESTS}/{task['id']}/report.html"))
    assert code[:2] == (409, "no_report")
    assert "it is queued" in code[2]
    work(companion)
    done = api("GET", f"{TESTS}/{task['id']}").json()
    assert (done["state"], done["progress"], done["reason"]) == ("done", 1.0, None)
    assert done["result"]["attributes"] == at_once["attributes"]
    assert done["result"]["test_id"] == task["id"]
    assert api("GET", f"{TESTS}/{task['id']}/report.html").status_code == 200


@pytest.fixture
def small(companion: Companion) -> AssessmentSettings:
    """Limits that a test reaches; settings are frozen, so they are made before the API is."""
    limits = AssessmentSettings(task_rows=100, queued_tasks=2)
    object.__setattr__(companion.settings, "assessment", limits)
    return limits


def test_more_rows_than_the_limit_are_a_task_and_a_full_queue_is_503(small: AssessmentSettings, api: Api) -> None:
    assert api("POST", "/bias_test", json=decided(100)).status_code == 200
    assert api("POST", "/bias_test", json=decided(101)).status_code == 202
    assert api("POST", "/bias_test", json=decided(101)).status_code == 202
    full = api("POST", "/bias_test", json=decided(101))
    assert refused(full)[:2] == (503, "overloaded")
    assert int(full.headers["retry-after"]) >= 1
    assert api("POST", "/bias_test", json=decided(100)).status_code == 200


def test_what_would_be_refused_is_refused_before_it_waits(api: Api, credit: Credit) -> None:
    assert refused(api("POST", TESTS, json=decided(task=True, predictions=[1])))[:2] == (422, "invalid_bias_test")
    assert refused(api("POST", TESTS, json=body(credit, task=True) | {"model": "no"}))[0] == 404
    assert refused(api("POST", TESTS, json=body(credit, task=True, version="99")))[0] == 404
    assert refused(api("POST", TESTS, json=decided(task="yes")))[2] == "task: true or false"
    assert api("GET", TESTS).json()["total"] == 0


def test_a_task_that_fails_says_why_and_the_next_one_runs(api: Api, companion: Companion, credit: Credit) -> None:
    wrong = body(credit, task=True)
    wrong["instances"][3]["features"] |= {"age": "forty"}
    failing = api("POST", TESTS, json=wrong).json()["id"]
    fine = api("POST", TESTS, json=decided(task=True)).json()["id"]
    work(companion)
    failed = api("GET", f"{TESTS}/{failing}").json()
    assert (failed["state"], failed["result"]) == ("failed", None)
    assert "age" in failed["reason"]
    assert "forty" not in failed["reason"]
    assert api("GET", f"{TESTS}/{fine}").json()["state"] == "done"


def test_a_task_is_taken_up_again_by_the_next_companion(
    api: Api, companion: Companion, new_companion: Callable[..., Companion], tmp_path: Any
) -> None:
    task = api("POST", TESTS, json=decided(task=True)).json()["id"]
    assert task_queue.take(companion.control, datetime.now(UTC)) is not None  # and the process ends here
    assert api("GET", f"{TESTS}/{task}").json()["state"] == "running"
    after = new_companion()
    control_api(after, tmp_path / "metrics")
    work(after)
    assert api("GET", f"{TESTS}/{task}").json()["state"] == "done"


# ---- data sets ----


def people(credit: Credit) -> pd.DataFrame:
    random = np.random.default_rng(3)
    frame = credit.frame.copy()
    frame["outcome"] = random.integers(0, 2, len(frame))
    frame["SEX"] = random.choice(["a", "b", None], len(frame))
    frame["decided"] = credit.model.predict(credit.frame)
    return frame


def test_a_data_set_is_scored_or_brings_its_predictions(api: Api, credit: Credit) -> None:
    csv = people(credit).to_csv(index=False).encode()
    kept = api("POST", "/api/v1/datasets", files={"file": ("people.csv", csv, "text/csv")}).json()
    asked = {"dataset": "people", "favourable": 1, "protected": ["SEX"], "label": "outcome"}
    scored = api("POST", TESTS, json=asked | {"model": "credit"}).json()
    assert (scored["source"], scored["dataset"], scored["model_version"]) == ("table", kept["id"], "1")
    brought = api("POST", TESTS, json=asked | {"prediction": "decided"}).json()
    assert brought["source"] == "predictions"
    assert brought["attributes"] == scored["attributes"]
    assert [group["group"] for group in scored["attributes"][0]["groups"]] == ["a", "b", "unknown"]
    task = api("POST", TESTS, json=asked | {"model": "credit", "task": True}).json()
    assert task["dataset"] == kept["id"]


def test_a_task_on_a_data_set_tells_how_far_it_is(api: Api, companion: Companion, credit: Credit) -> None:
    api("POST", "/api/v1/datasets?name=p", content=people(credit).to_csv(index=False))
    asked = {"dataset": "p", "favourable": 1, "protected": ["SEX"], "label": "outcome", "task": True}
    task = api("POST", TESTS, json=asked | {"model": "credit"}).json()["id"]
    told: list[float] = []
    service_touch = task_queue.touch

    def touch(control: Any, test_id: str, progress: float, now: datetime) -> None:
        told.append(progress)
        service_touch(control, test_id, progress, now)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(task_queue, "touch", touch)
        work(companion)
    assert told == [0.95]
    done = api("GET", f"{TESTS}/{task}").json()
    assert (done["state"], done["rows"], done["metadata"]["dataset_fingerprint"][:7]) == ("done", 400, "sha256:")


@pytest.mark.parametrize("path", [TESTS, "/api/v1/datasets", "/api/v1/bias-v2/history", "/api/v1/bias-v2/datasets"])
@pytest.mark.parametrize("asked", ["limit=501", "offset=-1", f"offset={2**63}"])
def test_lists_are_asked_for_in_pieces_that_a_database_can_count(api: Api, path: str, asked: str) -> None:
    answer = api("GET", f"{path}?{asked}")
    assert answer.status_code == 422
    assert asked.split("=", maxsplit=1)[0] in answer.json()["error"]["message"]
    assert api("GET", f"{path}?offset={2**63 - 1}").status_code == 200
