"""Heads of requests: a known one is what it was when it was read first, and what is private is not kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.edge import predicts
from bentos.heads import KnownHeads, authorization_in, parse_head

names = st.sampled_from(["Host", "Content-Length", "Content-Type", "Connection", "Expect", "TE", "X-Fairmind-Unit"])
values = st.sampled_from(["a", "12", "keep-alive", "close", "", " 7 ", "1" * 30])


def head(*headers: tuple[str, str], path: str = "/predict") -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode()


def plain(*more: tuple[str, str], path: str = "/predict") -> bytes:
    return head(("Host", "a"), ("Content-Length", "2"), *more, path=path)


def test_a_plain_head_is_taken_apart() -> None:
    found = parse_head(plain(("Content-Type", " application/json\t"), path="/v2/models/m/versions/3/infer"))
    assert found is not None
    assert (found.path, found.content_length) == ("/v2/models/m/versions/3/infer", 2)
    assert found.headers == {b"host": b"a", b"content-length": b"2", b"content-type": b"application/json"}


@pytest.mark.parametrize(
    "path",
    [
        "/invocations",
        "/models/m@champion/invocations",
        "/models/m/versions/3/invocations",
        "/v1/models/m:predict",
        "/v1/models/m/versions/3:predict",
    ],
)
def test_predictions_of_every_protocol_are_plain(path: str) -> None:
    found = parse_head(plain(path=path))
    assert found is not None
    assert predicts(found.path)


@pytest.mark.parametrize("path", ["/v1/models/m", "/models/m", "/models//invocations", "/v1/models/a/b:predict"])
def test_other_paths_are_left_to_the_parser(path: str) -> None:
    assert parse_head(plain(path=path)) is None


@given(st.lists(st.lists(st.tuples(names, values), max_size=5), max_size=20))
def test_a_known_head_is_what_reading_it_again_gives(heads: list[list[tuple[str, str]]]) -> None:
    known = KnownHeads()
    for headers in (*heads, *heads):
        raw = head(*headers)
        assert known.find(raw) == parse_head(raw)


def test_what_a_client_repeats_is_read_once() -> None:
    known = KnownHeads()
    assert known.find(plain()) is known.find(plain())
    assert len(known) == 1


@pytest.mark.parametrize("name", ["AUTHORIZATION", "cookie", "X-FAIRMIND-UNIT", "traceparent"])
def test_secrets_units_and_what_differs_each_time_are_not_kept(name: str) -> None:
    known = KnownHeads()
    assert known.find(plain((name, "s"))) is not None
    assert len(known) == 0


@given(
    st.sampled_from(["authorization", "Authorization", "AUTHORIZATION", "aUTHORIZATION"]),
    st.text("abcXYZ019._ -", max_size=40).map(lambda text: text.strip(" ")),
    st.booleans(),
)
def test_a_key_is_read_from_each_head_and_never_kept(name: str, value: str, is_first: bool) -> None:
    known, given_headers = KnownHeads(), [("X-Not-Authorization", "no"), (name, value)]
    for _ in range(2):
        raw = plain(*(reversed(given_headers) if is_first else given_headers))
        found = known.find(raw)
        assert found is not None
        assert found.has_authorization
        assert b"authorization" not in found.headers
        assert authorization_in(raw) == value.encode()


def test_a_client_with_a_key_is_known_by_a_digest() -> None:
    known = KnownHeads()
    raw = plain(("Authorization", "Bearer s3cret"))
    assert known.find(raw) is known.find(raw)
    assert known.find(plain(("Authorization", "Bearer other"))) is not known.find(raw)
    assert "s3cret" not in repr(vars(known))


def test_what_is_kept_is_bounded() -> None:
    known = KnownHeads()
    assert known.find(plain(("X-Long", "a" * 5000))) is not None
    assert len(known) == 0
    for number in range(2000):
        assert known.find(plain(("X-Number", str(number)))) is not None
    assert 0 < len(known) <= 512
