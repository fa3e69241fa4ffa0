"""`/api/v1/datasets`: uploads as a body or as a form, listed, shown without rows, removed."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

Api = Callable[..., httpx.Response]
DATASETS = "/api/v1/datasets"
CSV = b"prediction,sex\n1,female\n0,male\n"


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


def test_a_body_and_a_form_are_the_same_upload(api: Api) -> None:
    as_body = api("POST", f"{DATASETS}?name=people", content=CSV, headers={"content-type": "text/csv"})
    assert as_body.status_code == 201, as_body.text
    as_form = api("POST", DATASETS, files={"file": ("x.csv", CSV, "text/csv")}, data={"name": "people"})
    assert as_form.json() == as_body.json()
    kept = as_body.json()
    assert (kept["rows"], kept["columns"][1]) == (2, {"name": "sex", "type": "str"})
    assert "female" not in api("GET", f"{DATASETS}/people").text
    assert api("GET", DATASETS).json() == {"datasets": [kept], "total": 1, "limit": 50, "offset": 0}
    assert api("DELETE", f"{DATASETS}/{kept['id']}").status_code == 200
    assert refused(api("GET", f"{DATASETS}/people"))[:2] == (404, "dataset_not_found")


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ({"content": b""}, 422, "the body is empty"),
        ({"content": CSV, "params": {"name": "../x"}}, 422, "a data set's name"),
        ({"content": b"a,b\n1,2,3,4\n1,2\n"}, 422, "cannot be read as a table"),
        ({"files": {"wrong": ("x.csv", CSV)}}, 422, "no part 'file'"),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400, "the form cannot be read"),
        (
            {"content": b"no boundary", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            400,
            "the form cannot be read",
        ),
    ],
)
def test_what_cannot_be_taken_says_why(api: Api, request_: dict[str, object], status: int, message: str) -> None:
    answer = api("POST", DATASETS, **request_)
    assert answer.status_code == status, answer.text
    assert message in refused(answer)[2]


def test_an_unknown_data_set_is_404_for_tests_too(api: Api) -> None:
    asked = {"dataset": "nope", "favourable": 1, "protected": ["a"], "prediction": "p"}
    assert refused(api("POST", "/bias_test", json=asked))[:2] == (404, "dataset_not_found")
