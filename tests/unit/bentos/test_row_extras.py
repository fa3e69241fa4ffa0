"""Units, ids and protected attributes of single rows: the same rows mean the same on every protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bentos.row_extras import RowExtras, extra_names, read_extras, split_tensors, units_of
from bentos.worker import Worker
from inference.arrays import Texts
from inference.errors import MalformedColumnsError, SignatureMismatchError
from inference.tensors import Tensor
from tests.unit.bentos.row_forms import INFER, INVOCATIONS, OTHERS, Row, Send, as_predict

TEXTS = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
NUMBERS = st.floats(-1e6, 1e6)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "age": NUMBERS,
            "amount": NUMBERS,
            "job": st.sampled_from(["nurse", "smith", "clerk"]),
            "unit": st.none() | st.sampled_from([f"person-{number}" for number in range(9)]) | TEXTS,
            "id": TEXTS,
            "SEX": st.none() | st.sampled_from(["1", "2"]),
            "RAC1P": TEXTS,
        }
    ),
    min_size=1,
    max_size=12,
)


def logged(home: Path, request_id: str) -> dict[int, Row]:
    """Return what the log has of a request's answers, by the row's position."""
    found: dict[int, Row] = {}
    for path in (home / "spool").glob("*"):
        for record in map(orjson.loads, path.read_bytes().splitlines()):
            if record["request_id"] != request_id or "kind" in record:  # which an exposure has
                continue
            for index, position in enumerate(record["positions"]):
                row = {
                    name: None if record[name] is None else record[name][index]
                    for name in ("unit_hashes", "cohorts", "caller_ids", "predictions")
                }
                row["score"] = pytest.approx(record["scores"][index], abs=1e-12)
                row["protected"] = (record["protected"][index] if record["protected"] else None) or {}
                found[position] = row | {name: record[name] for name in ("variant", "model_version")}
    return found


def test_any_rows_log_and_predict_the_same_on_every_protocol(
    service: Any, credit: Any, credit_challenger: Any, tmp_path: Path
) -> None:
    service.serve(credit, credit_challenger, weight_bp=4_000)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        loop = asyncio.get_running_loop()

        def ask(sent: Send) -> httpx.Response:
            path, body, headers = sent
            sending: Any = client.post(path, content=body, headers=headers)
            response: httpx.Response = asyncio.run_coroutine_threadsafe(sending, loop).result(60)
            assert response.status_code == 200, (path, response.text)
            return response

        @settings(
            max_examples=40,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(ROWS)
        def attack(rows: list[Row]) -> None:
            answer = ask(as_predict(rows))
            labels = [one["prediction"] for one in answer.json()["predictions"]]
            expected = logged(tmp_path, answer.headers["x-fairmind-prediction-id"])
            assert len(expected) == len(rows)
            for name, form in OTHERS.items():
                other = ask(form(rows))
                body = other.json()
                given = body.get("predictions") or body["outputs"][0]["data"]
                assert given == labels, name
                assert logged(tmp_path, other.headers["x-fairmind-prediction-id"]) == expected, name
                versions = {row["model_version"] for row in expected.values()}
                assert {*other.headers["x-fairmind-model-version"].split(",")} == versions

        await asyncio.to_thread(attack)

    service.run(scenario)


@pytest.mark.parametrize("form", OTHERS.values(), ids=OTHERS)
def test_an_error_names_the_row_that_was_sent_whichever_variant_answers_it(
    service: Any, credit: Any, credit_challenger: Any, form: Callable[[list[Row]], Send]
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5_000)
    rows: list[Row] = [
        {"age": 41.0, "amount": 2.0, "job": "nurse", "unit": f"u-{number}", "id": None, "SEX": "1", "RAC1P": None}
        for number in range(12)
    ]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for wrong in (0, 7, 11):
            sent = [row | ({"job": "unheard of"} if place == wrong else {}) for place, row in enumerate(rows)]
            path, body, headers = form(sent)
            response = await client.post(path, content=body, headers=headers)
            assert response.status_code == 400
            assert f"row {wrong}, column 'job'" in response.text
            assert "unheard of" not in response.text

    service.run(scenario)


def test_a_unit_for_the_whole_request_stands_for_rows_without_one(
    service: Any, credit: Any, tmp_path: Path
) -> None:
    service.serve(credit)
    row = {"age": 41.0, "amount": 2.0, "job": "nurse"}

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body = {"dataframe_records": [row, row | {"fairmind.unit": "own"}]}
        answer = await client.post(INVOCATIONS, json=body, headers={"X-Fairmind-Unit": "all"})
        both = logged(tmp_path, answer.headers["x-fairmind-prediction-id"])
        alone = await client.post(INVOCATIONS, json={"instances": [row]}, headers={"X-Fairmind-Unit": "all"})
        (one,) = logged(tmp_path, alone.headers["x-fairmind-prediction-id"]).values()
        assert both[0]["unit_hashes"] == one["unit_hashes"] != both[1]["unit_hashes"]
        for unit in ("", "x" * 201):
            refused = await client.post(INVOCATIONS, json={"instances": [row]}, headers={"X-Fairmind-Unit": unit})
            assert (refused.status_code, "X-Fairmind-Unit" in refused.json()["message"]) == (400, True)

    service.run(scenario)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.5, "row 1, column 'fairmind.unit': must be a string"),
        (True, "row 1, column 'fairmind.unit': must be a string"),
        (["a"], "row 1, column 'fairmind.unit': must be a string"),
        ("x" * 201, "row 1, column 'fairmind.unit': must have at most 200 characters"),
    ],
)
def test_a_unit_that_is_no_string_is_refused(service: Any, credit: Any, value: Any, words: str) -> None:
    service.serve(credit)
    row = {"age": 41.0, "amount": 2.0, "job": "nurse", "fairmind.unit": "u"}

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        response = await client.post(INVOCATIONS, json={"instances": [row, row | {"fairmind.unit": value}]})
        assert (response.status_code, response.json()["message"]) == (400, words)

    service.run(scenario)


def test_what_looks_like_an_extra_and_is_none_is_no_column_of_the_model(service: Any, credit: Any) -> None:
    service.serve(credit)
    inputs = [
        {"name": name, "datatype": "BYTES" if type(value) is str else "FP64", "shape": [1], "data": [value]}
        for name, value in {"age": 41.0, "amount": 2.0, "job": "nurse"}.items()
    ]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for name in ("fairmind.units", "fairmind.protected.", "fairmind"):
            extra = {"name": name, "datatype": "BYTES", "shape": [1], "data": ["u"]}
            response = await client.post(INFER, json={"inputs": [*inputs, extra]})
            assert (response.status_code, f"'{name}'" in response.json()["error"]) == (400, True)
        lone = {"name": "fairmind.unit", "datatype": "BYTES", "shape": [1], "data": ["u"]}
        matrix = lone | {"shape": [1, 2], "data": ["a", "b"]}
        for wrong in ([lone], [*inputs, lone | {"shape": [1, 1, 1]}], [*inputs, matrix]):
            assert (await client.post(INFER, json={"inputs": wrong})).status_code == 400

    service.run(scenario)


# ---- the functions ----


def test_a_models_own_column_of_such_a_name_stays_a_feature() -> None:
    names = ["fairmind.unit", "fairmind.id", "fairmind.protected.SEX", "age"]
    assert extra_names(names, frozenset({"age", "fairmind.unit"})) == ["fairmind.id", "fairmind.protected.SEX"]


def test_integers_stand_for_their_digits_and_null_nan_and_nothing_for_nothing() -> None:
    values = {"fairmind.unit": [17, "17", None, float("nan"), ""]}
    assert read_extras(["fairmind.unit"], values.__getitem__) == RowExtras(units=["17", "17", None, None, None])
    assert read_extras(["fairmind.unit"], lambda _: np.array([3, 2**40])).units == ["3", str(2**40)]
    texts = Texts(np.array(["a", None, ""], dtype=object), np.array([0, 1, 2, 0]))
    assert read_extras(["fairmind.id"], lambda _: texts).ids == ["a", None, None, "a"]
    assert read_extras(["fairmind.id"], lambda _: [None, ""]).ids is None


def test_protected_attributes_are_told_only_where_they_are_known() -> None:
    columns = {"fairmind.protected.SEX": ["1", None, "1"], "fairmind.protected.AGE": [None, None, ""]}
    assert read_extras(list(columns), columns.__getitem__).protected == [{"SEX": "1"}, None, {"SEX": "1"}]


def test_there_is_a_bound_to_how_many_attributes_a_request_may_name() -> None:
    names = [f"fairmind.protected.{number}" for number in range(51)]
    assert read_extras(names[:50], lambda _: ["a"]).protected is not None
    with pytest.raises(MalformedColumnsError, match="50 columns"):
        read_extras(names, lambda _: ["a"])


def test_tensors_are_parted_into_features_and_extras() -> None:
    features = [Tensor("age", "FP64", [2], [1.0, 2.0])]
    assert split_tensors(features, frozenset({"age"})) == (features, RowExtras())
    unit = Tensor("fairmind.unit", "BYTES", [2, 1], ["a", "b"])
    assert split_tensors([unit, *features], frozenset({"age"})) == (features, RowExtras(units=["a", "b"]))
    with pytest.raises(SignatureMismatchError, match="must be a string"):
        split_tensors([*features, Tensor("fairmind.id", "FP64", [2], [1.5, 2.0])], frozenset({"age"}))


def test_a_row_without_a_unit_has_that_of_the_request() -> None:
    assert units_of(RowExtras(), None, 2) is None
    assert units_of(RowExtras(), "all", 2) == ["all", "all"]
    assert units_of(RowExtras(units=["own", None]), "all", 2) == ["own", "all"]
    assert units_of(RowExtras(units=["own", None]), None, 2) == ["own", None]
