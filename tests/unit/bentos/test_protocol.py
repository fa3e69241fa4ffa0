"""The way round ASGI: the answers of uvicorn's own way, however a request is cut, and nothing it must not take."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import uvicorn
import uvicorn.protocols.http.auto

from access.key_file import FiledKey, as_bytes, replace_file
from access.scopes import Scope
from access.tokens import new_token
from bentos.edge import FrontDoor
from bentos.protocol import HotProtocol
from tests.fakes.site import Site, nothing, read_answer, request


def test_uvicorn_makes_its_connections_of_the_class_that_is_installed() -> None:
    """BentoML gives no choice of protocol: this is what breaks when uvicorn changes how it chooses."""
    config = uvicorn.Config(nothing, log_config=None)
    before = uvicorn.protocols.http.auto.AutoHTTPProtocol
    try:
        HotProtocol.install(None, idle_seconds=5)  # type: ignore[arg-type]
        config.load()
        assert issubclass(config.http_protocol_class, HotProtocol)
    finally:
        uvicorn.protocols.http.auto.AutoHTTPProtocol = before


def test_a_request_has_one_answer_however_it_is_cut(site: Any, credit: Any) -> None:
    whole = request({"instances": credit.instances(2)})

    async def scenario(site: Site) -> None:
        expected = None
        for cut in (0, 1, 10, whole.index(b"\r\n\r\n"), whole.index(b"\r\n\r\n") + 4, len(whole) - 1):
            status, _, answer = await site.exchange(*([whole[:cut], whole[cut:]] if cut else [whole]))
            assert status == 200
            probabilities = [row["probability"] for row in answer["predictions"]]
            expected = expected or probabilities
            assert probabilities == expected
        assert site.direct == ["/predict"], "only the whole one goes past uvicorn"

    site(scenario)


def test_direct_answers_say_what_uvicorns_do(site: Any, credit: Any) -> None:
    body = {"instances": credit.instances(1)}

    async def scenario(site: Site) -> None:
        status, headers, answer = await site.exchange(request(body))
        same_status, same_headers, same = await site.exchange(request(body, more="Connection: close\r\n"))
        assert (status, same_status) == (200, 200)
        assert headers.keys() | {"connection"} == same_headers.keys()
        assert answer["predictions"][0].keys() == same["predictions"][0].keys()
        assert headers["x-fairmind-prediction-id"] == answer["predictions"][0]["prediction_id"].rpartition("-")[0]
        assert len(site.direct) == 1

    site(scenario)


def test_keys_are_asked_for_on_the_way_past_uvicorn_too(site: Any, service: Any, credit: Any) -> None:
    service.requires_keys, token = True, new_token()
    key = FiledKey(id=token.id, hash=token.hash.hex(), scopes=(Scope.PREDICT,))
    replace_file(service.keys_file, as_bytes([key]))
    body = {"instances": credit.instances(1)}

    async def scenario(site: Site) -> None:
        refused = await site.exchange(request(body, more="X-Request-Id: trace-7\r\n"))
        assert (refused[0], refused[2]["error"]["code"]) == (401, "key_required")
        assert (refused[1]["www-authenticate"], refused[1]["x-request-id"]) == (
            'bearer realm="fairmind"',
            "trace-7",
        )
        status, headers, answer = await site.exchange(request(body, more=f"Authorization: Bearer {token.text}\r\n"))
        assert (status, "variant" in answer["predictions"][0], "x-request-id" in headers) == (200, False, False)
        wrong = await site.exchange(
            request(body, "/v2/models/credit/infer", f"Authorization: bearer {token.text}0\r\n")
        )
        assert (wrong[0], isinstance(wrong[2]["error"], str)) == (401, True)
        assert len(site.direct) == 3

    site(scenario)


def test_the_protocol_of_models_goes_the_same_way(site: Any, credit: Any) -> None:
    row = credit.instances(1)[0]["features"]
    tensors = [
        {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}
        for name, value in row.items()
    ]

    async def scenario(site: Site) -> None:
        status, headers, answer = await site.exchange(request({"inputs": tensors}, "/v2/models/credit/infer"))
        assert (status, answer["model_name"], headers["x-fairmind-model-version"]) == (200, "credit", "1")
        status, _, answer = await site.exchange(request({"inputs": tensors}, "/v2/models/nobody/infer"))
        assert status == 404
        assert isinstance(answer["error"], str)
        assert site.direct == ["/v2/models/credit/infer", "/v2/models/nobody/infer"]

    site(scenario)


def test_pipelined_requests_are_answered_in_their_order(site: Any, credit: Any) -> None:
    first = request({"instances": credit.instances(1)})
    second = request({"instances": credit.instances(3)})

    async def scenario(site: Site) -> None:
        for pieces in (
            [first + second + first],
            [first, second, first],
            [first + second[:30], second[30:] + first],
        ):
            reader, writer = await site.connect()
            for piece in pieces:
                writer.write(piece)
            answers = [await read_answer(reader) for _ in range(3)]
            assert [status for status, _, _ in answers] == [200] * 3
            assert [len(answer["predictions"]) for _, _, answer in answers] == [1, 3, 1]
            writer.close()

    site(scenario)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(request({}, more="Transfer-Encoding: chunked\r\n"), 400, id="two lengths of a body"),
        pytest.param(request({}, more="Content-Length: 2\r\nX: y\r\n"), 400, id="two content lengths"),
        pytest.param(b"POST /predict HTTP/1.1\r\nHost : a\r\nContent-Length: 2\r\n\r\n{}", 400, id="a gap"),
        pytest.param(b"POST /predict HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400, id="no host"),
        pytest.param(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}", 400, id="a sign"),
        pytest.param(request({}, "/predict?x=1"), 400, id="a query"),
        pytest.param(request({}, "/%70redict"), 400, id="an escaped path"),
        pytest.param(request({}, "/predictor"), 404, id="another route"),
    ],
)
def test_what_is_not_plain_is_left_to_uvicorn(site: Any, raw: bytes, status: int) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.exchange(raw)
        assert answer[0] == status
        assert not site.direct

    site(scenario)


def test_a_client_that_waits_for_100_continue_gets_it(site: Any, credit: Any) -> None:
    body = json.dumps({"instances": credit.instances(1)}).encode()
    whole = request(body, more="Expect: 100-continue\r\n")
    head, content = whole[: -len(body)], whole[-len(body) :]

    async def scenario(site: Site) -> None:
        reader, writer = await site.connect()
        writer.write(head)
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(content)
        assert (await read_answer(reader))[0] == 200
        writer.close()

    site(scenario)


def test_what_there_is_no_room_for_is_refused_on_the_spot(site: Any, service: Any, credit: Any) -> None:
    service.serving = service.serving.model_copy(update={"max_in_flight": 1})
    whole = request({"instances": credit.instances(1)})

    async def scenario(site: Site) -> None:
        connections = [await site.connect() for _ in range(20)]
        for _, writer in connections:
            writer.write(whole)
        answers = [await read_answer(reader) for reader, _ in connections]
        statuses = [status for status, _, _ in answers]
        assert set(statuses) <= {200, 503}
        assert statuses.count(200) >= 1
        for status, headers, answer in answers:
            if status == 503:
                assert answer["error"]["code"] == "overloaded"
                assert int(headers["retry-after"]) >= 1
        for reader, writer in connections:
            writer.write(whole)
            status, _, _ = await read_answer(reader)
            assert status == 200, "one at a time there is room, on every connection"
            writer.close()

    site(scenario)


def test_a_length_of_thousands_of_digits_is_refused_and_not_an_accident(site: Any) -> None:
    raw = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}"

    async def scenario(site: Site) -> None:
        assert (await site.exchange(raw))[0] == 400
        assert not site.direct

    site(scenario)


def test_a_request_that_meets_a_bug_is_answered_and_nothing_of_it_is_logged(
    site: Any, credit: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_door: FrontDoor, _exchange: Any) -> None:
        raise RuntimeError("Zaphod")

    monkeypatch.setattr(FrontDoor, "answer_entered", fail)

    async def scenario(site: Site) -> None:
        reader, writer = await site.connect()
        writer.write(request({"instances": credit.instances(1)}))
        status, headers, _ = await read_answer(reader)
        assert (status, headers["connection"]) == (500, "close")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()

    site(scenario)
    assert "RuntimeError" in caplog.text
    assert "Zaphod" not in caplog.text
