"""Anything at all as a request: never a 5xx, never an exception, never a value in an answer or the log."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bentos.worker import Worker
from tests.unit.bentos.strict_model import (
    DATATYPES,
    GOOD,
    INFER,
    INVOCATIONS,
    LENGTH,
    PREDICT,
    SECRET,
    V1,
    binary_body,
    rows_body,
    said,
)

Ask = Callable[[str, bytes, dict[str, str]], httpx.Response]
FUZZ = settings(
    max_examples=150,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    database=None,
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([SECRET, "strict", "\ud800", "\0", "FP64", "BYTES", "-1", 1e308, 2**63, 2**64]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
PREDICT_BODY: dict[str, Any] = {
    "model": "strict",
    "instances": [
        {"features": GOOD, "unit": "u-1", "protected": {"sex": "f"}, "id": "mine"},
        {"features": GOOD | {"job": "smith"}},
    ],
}
INFER_BODY: dict[str, Any] = {
    "id": "mine",
    "parameters": {"unit": "u-1", "binary_data_output": False},
    "inputs": [
        {"name": name, "datatype": DATATYPES[name], "shape": [2], "data": [good, good], "parameters": {}}
        for name, good in GOOD.items()
    ],
    "outputs": [{"name": "prediction", "parameters": {"binary_data": True}}],
}


EXTRAS = {"fairmind.unit": "u-1", "fairmind.id": "mine", "fairmind.protected.sex": "f"}
ROWS: list[dict[str, Any]] = [GOOD | EXTRAS, GOOD | {"job": "smith"}]
SPLIT = {"columns": [*GOOD, *EXTRAS], "data": [[*GOOD.values(), *EXTRAS.values()]] * 2}
BODIES: list[tuple[str, dict[str, Any]]] = [
    (PREDICT, PREDICT_BODY),
    (INFER, INFER_BODY),
    (V1, {"instances": ROWS}),
    (INVOCATIONS, {"dataframe_records": ROWS, "params": {"warmth": 1}}),
    (INVOCATIONS, {"inputs": {name: [row.get(name) for row in ROWS] for name in ROWS[0]}}),
]


def places(body: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value in a body."""
    if above:
        yield above
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in inner:
        yield from places(value, (*above, key))


@st.composite
def changed(draw: st.DrawFn, body: dict[str, Any]) -> bytes:
    """Draw the body with one to three values replaced, left out or moved."""
    made = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(made))
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        holder = made
        for key in way:
            holder = holder[key]
        match draw(st.sampled_from(["replace", "remove", "double"])):
            case "replace":
                holder[last] = draw(ANYTHING)
            case "remove":
                del holder[last]
            case "double" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[last]))
            case _:
                holder[draw(st.text(max_size=5))] = copy.deepcopy(holder[last])
    return json.dumps(made).encode()


@st.composite
def bent(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw the bytes with some of them changed, cut out or put in."""
    made = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(made)))
        match draw(st.sampled_from(["change", "cut", "insert"])):
            case "change" if at < len(made):
                made[at] = draw(st.integers(0, 255))
            case "cut":
                del made[at : at + draw(st.integers(1, 30))]
            case _:
                made[at:at] = draw(st.binary(max_size=8))
    return bytes(made)


def fuzz(serving: Any, attack: Callable[[Ask], None]) -> None:
    """Run an attack against a served model; whatever it sends, no answer is a 5xx and no exception comes out."""

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        loop = asyncio.get_running_loop()

        def ask(path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
            sending: Coroutine[Any, Any, httpx.Response] = client.post(path, content=body, headers=headers)
            response = asyncio.run_coroutine_threadsafe(sending, loop).result(60)
            if response.status_code != 200:
                said(response, path)
            return response

        # Hypothesis calls plain functions: they run beside the loop and hand it what they send.
        await asyncio.to_thread(attack, ask)
        good = await client.post(PREDICT, content=rows_body(0, 1, "age", b"41.5"))
        assert good.status_code == 200

    serving.run(scenario)


@pytest.mark.parametrize("path", [PREDICT, INFER, INVOCATIONS, V1])
def test_random_bytes_are_never_a_5xx(serving: Any, path: str) -> None:
    def attack(ask: Ask) -> None:
        @FUZZ
        @given(st.binary(max_size=300), st.sampled_from([None, "0", "5", "300", "x"]))
        def sent(body: bytes, length: str | None) -> None:
            ask(path, body, {} if length is None else {LENGTH: length})

        sent()

    fuzz(serving, attack)


@pytest.mark.parametrize(("path", "body"), [*BODIES, (INVOCATIONS, {"dataframe_split": SPLIT})])
def test_a_good_body_with_some_of_it_replaced_is_never_a_5xx(
    serving: Any, path: str, body: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def attack(ask: Ask) -> None:
        assert ask(path, orjson.dumps(body), {}).status_code == 200

        @FUZZ
        @given(changed(body))
        def sent(content: bytes) -> None:
            ask(path, content, {})

        sent()

    fuzz(serving, attack)
    assert SECRET not in caplog.text


def test_a_raw_body_with_some_bytes_changed_is_never_a_5xx(serving: Any) -> None:
    content, headers = binary_body(3)
    length = int(headers[LENGTH])

    def attack(ask: Ask) -> None:
        assert ask(INFER, content, headers).status_code == 200

        @FUZZ
        @given(bent(content[:length]), st.just(content[length:]) | bent(content[length:]), st.integers(-1, 1))
        def sent(head: bytes, raw: bytes, off: int) -> None:
            ask(INFER, head + raw, {LENGTH: str(len(head) + off)})

        @FUZZ
        @given(bent(content[length:]))
        def sent_with_a_good_head(raw: bytes) -> None:
            ask(INFER, content[:length] + raw, headers)

        sent()
        sent_with_a_good_head()

    fuzz(serving, attack)


def test_csv_with_some_bytes_changed_is_never_a_5xx(serving: Any) -> None:
    names = [*GOOD, *EXTRAS]
    content = ",".join(names) + 2 * ("\n" + ",".join(str((GOOD | EXTRAS)[name]) for name in names)) + "\n"

    def attack(ask: Ask) -> None:
        csv = {"content-type": "text/csv"}
        assert ask(INVOCATIONS, content.encode(), csv).status_code == 200

        @FUZZ
        @given(bent(content.encode()))
        def sent(body: bytes) -> None:
            ask(INVOCATIONS, body, csv)

        sent()

    fuzz(serving, attack)


def test_a_value_shows_in_no_answer_and_no_log_line_wherever_it_is_put(
    serving: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Names (of columns, models, outputs, datatypes) are quoted: they are no values."""
    named = {"model", "name", "datatype"}

    def attack(ask: Ask) -> None:
        for path, body in BODIES:
            for way in places(body):
                for secret in (SECRET, [SECRET], {"a": SECRET}):
                    if way[-1] in named:
                        continue
                    made = copy.deepcopy(body)
                    holder: Any = made
                    for key in way[:-1]:
                        holder = holder[key]
                    holder[way[-1]] = secret
                    response = ask(path, orjson.dumps(made), {})
                    # A client's own `id` comes back to it, as the protocol says.
                    assert SECRET not in response.text or way == ("id",), (way, response.text)

    fuzz(serving, attack)
    assert SECRET not in caplog.text
