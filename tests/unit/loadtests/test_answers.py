from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench.answers import Answer, whole_answer

ENDS = ["content-length: {}", "Content-Length: {}", "CONTENT-LENGTH: {}", "transfer-encoding: chunked", "x: y"]
HEADERS = [
    "x-content-length: 1",
    "x-id: content-length: 3",
    "connection: close",
    "Connection: keep-alive",
    "date: now",
]


def head(*headers: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    return "\r\n".join([f"HTTP/{version} {status}", *headers, "", ""]).encode()


def read(data: bytes) -> Answer:
    answer = Answer()
    answer.feed(data)
    return answer


@given(
    status=st.sampled_from([100, 103, 200, 204, 304, 404, 413, 503]),
    version=st.sampled_from(["1.1", "1.0"]),
    headers=st.tuples(
        st.lists(st.sampled_from(HEADERS), max_size=4, unique=True), st.sampled_from(ENDS), st.booleans()
    ).map(lambda drawn: [drawn[1], *drawn[0]] if drawn[2] else [*drawn[0], drawn[1]]),
    body=st.binary(max_size=12),
    surplus=st.sampled_from([b"", b"\r\n", b"HTTP/1.1 200 OK\r\n"]),
    cut=st.integers(0, 200),
)
def test_what_the_fast_path_takes_as_whole_the_parser_does_too(
    status: int, version: str, headers: list[str], body: bytes, surplus: bytes, cut: int
) -> None:
    lines = [line.format(len(body)) for line in headers]
    data = (head(*lines, status=f"{status} Some", version=version) + body + surplus)[: cut or None]
    found = whole_answer(data)
    if found is not None:
        answer = read(data)
        assert (answer.status, answer.keeps) == (found, True) == (status, True)
        assert all(not read(data[:length]).status for length in range(len(data)) if b"\r\n\r\n" in data[:length])


@pytest.mark.parametrize("name", ["content-length", "Content-Length"])
def test_the_fast_path_takes_the_answers_of_a_server_under_load(name: str) -> None:
    assert whole_answer(head("date: now", f"{name}: 2", "x-request-id: 7") + b"{}") == 200
    assert whole_answer(head(f"{name}: 0", status="503 Service Unavailable")) == 503


@given(cuts=st.sets(st.integers(1, 80)), interim=st.booleans(), chunked=st.booleans())
def test_an_answer_is_the_same_in_however_many_pieces_it_comes(
    cuts: set[int], interim: bool, chunked: bool
) -> None:
    data = head(status="100 Continue") if interim else b""
    if chunked:
        data += head("transfer-encoding: chunked", status="422 No") + b"2\r\n{}\r\n0\r\n\r\n"
    else:
        data += head("content-length: 2", status="422 No") + b"{}"
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    answer = Answer()
    for begin, end in pairwise(places):
        assert not answer.status
        answer.feed(data[begin:end])
    assert (answer.status, answer.keeps) == (422, True)


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    answer = read(head("x: y") + b"some text")
    assert not answer.status
    answer.end()
    assert (answer.status, answer.keeps) == (200, False)


@pytest.mark.parametrize(
    "data", [b"", head("content-length: 9") + b"some", head(status="100 Continue"), b"HTTP/1.1 "]
)
def test_a_connection_that_ends_before_the_answer_leaves_none(data: bytes) -> None:
    answer = read(data)
    answer.end()
    assert not answer.status


def test_a_server_that_says_more_than_it_was_asked_loses_its_connection() -> None:
    answer = read((head("content-length: 2") + b"{}") * 2)
    assert (answer.status, answer.keeps) == (200, False)
