"""Triton's own clients, HTTP and gRPC, sync and async, binary and JSON."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import COLUMNS, MODEL, Drive, Server
from tests.clients.interface import client_fields, our_fields

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def found(drive: Drive, server: Server) -> Any:
    units = [row | {"fairmind.unit": f"person-{place}"} for place, row in enumerate(server.rows(20))]
    return drive("triton", rows=server.rows(50), units=units, with_units=COLUMNS | {"fairmind.unit": "BYTES"})


def agrees(answer: dict[str, Any], server: Server, rows: int = 50) -> None:
    labels, scores = server.expected(rows)
    assert answer["labels"] == labels
    assert answer["scores"] == pytest.approx(scores, abs=1e-12)


@pytest.fixture(params=["http", "grpc"])
def over(request: pytest.FixtureRequest, found: Any) -> Any:
    """What one of the two clients got."""
    return found[request.param]


def test_health_and_metadata_are_read(over: Any) -> None:
    assert over["health"] == [True, True, True]
    assert over["server"]["name"] == "fairmind-serving"
    assert (over["model"]["name"], over["model"]["versions"]) == (MODEL, ["1", "2"])
    assert [(one["name"], one["datatype"]) for one in over["model"]["inputs"]] == list(COLUMNS.items())


def test_the_index_says_what_is_ready(over: Any) -> None:
    models = over["index"] if isinstance(over["index"], list) else over["index"]["models"]
    assert [(one["name"], one["version"], one["state"]) for one in models] == [
        (MODEL, "1", "READY"),
        (MODEL, "2", "READY"),
    ]


def test_every_way_to_send_rows_gives_the_same_answer(over: Any, server: Server) -> None:
    answers = {name: answer for name, answer in over.items() if isinstance(answer, dict) and "labels" in answer}
    assert len(answers) > 10
    for name, answer in answers.items():
        if name == "version" or not name.endswith(("row", "rows")):
            agrees(answer, server)
    agrees(over["one row"], server, 1)
    agrees(over["10,000 rows"], server, 10_000)


def test_clients_without_waiting_get_the_same_answers(found: Any, server: Server) -> None:
    for client in {"http async", "grpc async"} & set(found):
        assert found[client]["ready"]
        for answer in found[client]["answers"]:
            agrees(answer, server)


def test_what_is_refused_says_why(found: Any) -> None:
    statuses = {name: status for name, (status, _) in found["http"]["refused"].items()}
    assert statuses == dict.fromkeys(["model", "version"], "404") | dict.fromkeys(
        ["column", "output", "load", "unload"], "400"
    )
    messages = {name: message for name, (_, message) in found["http"]["refused"].items()}
    assert "fairmind models promote" in messages["load"]
    assert "'income'" in messages["column"]
    assert "'nothing'" in messages["output"]


def test_rows_may_say_their_unit(over: Any) -> None:
    assert over["units"]["version"] == "1"  # nothing is split here: it is taken off, and not refused


def test_our_interface_is_that_of_the_client_but_for_the_answers_that_it_has_empty(found: Any) -> None:
    theirs, ours = client_fields(found["interface"]), our_fields()
    assert {name for name, fields in ours.items() if theirs[name] != fields} == {
        "RepositoryModelLoadResponse",
        "RepositoryModelUnloadResponse",
    }
    assert theirs["RepositoryModelLoadResponse"] == theirs["RepositoryModelUnloadResponse"] == {}
