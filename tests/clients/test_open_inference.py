"""The client that is generated from the Open Inference Protocol's own OpenAPI document."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import COLUMNS, MODEL, Drive, Server

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def found(drive: Drive, server: Server) -> Any:
    return drive("open_inference", rows=server.rows(50))


def test_health_and_metadata_are_read(found: Any) -> None:
    """Health has nothing to say but that it raised nothing."""
    assert found["sync"]["server"]["name"] == "fairmind-serving"
    for model in (found["sync"]["model"], found["sync"]["version"]):
        assert model["name"] == MODEL
        assert [(one["name"], one["datatype"]) for one in model["inputs"]] == list(COLUMNS.items())


def test_any_number_of_rows_is_answered_as_by_our_own_route(found: Any, server: Server) -> None:
    answers = found["sync"]["answers"] | {f"async {number}": one for number, one in enumerate(found["async"])}
    for name, answer in answers.items():
        labels, scores = server.expected({"one row": 1, "10,000 rows": 10_000}.get(name, 50))
        assert answer["labels"] == labels
        assert answer["scores"] == pytest.approx(scores, abs=1e-12)
    assert (answers["rows"]["id"], answers["of a version"]["version"]) == ("mine", "1")
    assert found["sync"]["only"]["scores"] is None


def test_what_is_refused_is_an_error_of_the_clients_own_that_says_why(found: Any) -> None:
    kinds = {name: (kind, status) for name, (kind, status, _) in found["sync"]["refused"].items()}
    assert kinds == {
        "model": ("NotFoundError", 404),
        "metadata": ("ApiError", 404),  # its document knows 400 alone
        "column": ("BadRequestError", 400),
    }
    bodies = {name: body["error"] for name, (_, _, body) in found["sync"]["refused"].items()}
    assert "no model 'nobody'" in bodies["model"]
    assert "'income'" in bodies["column"]
