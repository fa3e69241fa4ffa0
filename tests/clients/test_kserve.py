"""KServe's own clients: the Open Inference Protocol over REST and gRPC, and its first protocol."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import Drive, Server
from tests.clients.interface import client_fields, our_fields

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def found(drive: Drive, server: Server) -> Any:
    return drive("kserve", rows=server.rows(50))


@pytest.fixture(params=["v2", "grpc"])
def over(request: pytest.FixtureRequest, found: Any) -> Any:
    """What one of the two clients got."""
    return found[request.param]


def test_health_is_read(over: Any, found: Any) -> None:
    assert over["health"] == [True, True, True]
    assert found["v2"]["no model"] is False


def test_binary_and_json_and_any_number_of_rows_give_the_same_answer(over: Any, server: Server) -> None:
    answers = {name: answer for name, answer in over.items() if isinstance(answer, dict)}
    assert len(answers) >= 3
    for name, answer in answers.items():
        labels, scores = server.expected({"one row": 1, "10,000 rows": 10_000}.get(name.partition(", ")[2], 50))
        assert answer["labels"] == labels
        assert answer["scores"] == pytest.approx(scores, abs=1e-12)
    assert over["binary"]["id"] == "mine"


def test_what_is_refused_says_why(found: Any) -> None:
    status, text = found["v2"]["refused"]
    assert (status, "no model 'nobody'" in text) == ("404", True)


def test_the_first_protocol_predicts_and_refuses(found: Any, server: Server) -> None:
    assert found["v1"]["ready"] is True
    assert found["v1"]["answer"] == {"predictions": server.expected(50)[0]}
    status, text = found["v1"]["refused"]
    assert (status, "is missing" in text) == ("400", True)


def test_our_interface_has_every_field_of_the_client_but_where_it_and_triton_differ(found: Any) -> None:
    theirs, ours = client_fields(found["interface"]), our_fields()
    differing = {name for name, fields in theirs.items() if not fields.items() <= ours[name].items()}
    assert differing == {"RepositoryModelLoadRequest", "RepositoryModelUnloadRequest"}
    for name in differing:  # on the wire, the same text in the same field
        assert theirs[name]["model_name"] == ours[name]["repository_name"]
