"""Values that do not fit their column, by every protocol: a 4xx that names the place, no value, nothing logged."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from bentos.worker import Worker
from monitoring.predictions import BULK_ROWS
from tests.unit.bentos.strict_model import (
    GOOD,
    INFER,
    PREDICT,
    SECRET,
    binary_body,
    logged,
    raw_of,
    rows_body,
    said,
    tensors_body,
)


def test_what_is_good_is_answered(serving: Any) -> None:
    """Without this nothing below would mean anything."""

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for rows in (1, 3):
            assert (await client.post(PREDICT, content=rows_body(0, rows, "age", b"41.5"))).status_code == 200
            assert (await client.post(INFER, content=tensors_body(0, rows, "age", b"41.5"))).status_code == 200
            body, headers = binary_body(rows)
            assert (await client.post(INFER, content=body, headers=headers)).status_code == 200
        assert len(logged(serving.home)) == 6

    serving.run(scenario)


QUOTED = f'"{SECRET}"'.encode()
VALUES: dict[str, tuple[str, bytes, str]] = {
    "NaN where none may be missing": ("age", b"NaN", "is required and may not be NaN"),
    "null where none may be missing": ("age", b"null", "is required and may not be null"),
    "infinity": ("age", b"Infinity", "may not be infinite"),
    "minus infinity": ("age", b"-Infinity", "may not be infinite"),
    "a number that no sum survives": ("age", b"-8675309e200", "is too large for a number"),
    "true for a number": ("age", b"true", "must be a number, not true/false"),
    "text for a number": ("age", QUOTED, "must be a number, not a string"),
    "an object for a number": ("age", b'{"a": 41.5}', "must be a number, not an object"),
    "a fraction for an integer": ("count", b"8675309.5", "must be an integer, not a number"),
    "an integer beyond 64 bits": ("count", b"9223372036854775808", "does not fit "),
    "an integer far beyond 64 bits": ("count", b"8675309" + b"0" * 30, "must be an integer, not a number"),
    "NaN for an integer": ("count", b"NaN", "must be an integer, not a number"),
    "null for an integer": ("count", b"null", "is required and may not be null"),
    "text for an integer": ("count", b'"3"', "must be an integer, not a string"),
    "a number for a truth value": ("member", b"8675309", "must be true or false, not a number"),
    "text for a truth value": ("member", b'"true"', "must be true or false, not a string"),
    "null for a truth value": ("member", b"null", "is required and may not be null"),
    "a number for a text": ("job", b"8675309", "must be a string, not a number"),
    "null for a text": ("job", b"null", "is required and may not be null"),
    "a category nobody knows": ("job", QUOTED, "is a category the model does not know"),
    "a known category and a zero byte": ("job", b'"nurse\\u0000"', "is a category the model does not know"),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_that_does_not_fit_is_refused_by_row_and_column_however_it_is_sent_and_among_however_many(
    serving: Any, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    column, value, words = VALUES[case]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for row, rows in ((0, 1), (2, 3), (BULK_ROWS + 1, BULK_ROWS + 2)):
            for path, body in (
                (PREDICT, rows_body(row, rows, column, value)),
                (INFER, tensors_body(row, rows, column, value)),
            ):
                message = said(await client.post(path, content=body), path, 422 if path == PREDICT else 400)
                assert message.startswith(f"row {row}, column '{column}': "), message
                assert words in message
                assert SECRET not in message
                assert "8675309" not in message
        assert SECRET not in caplog.text
        assert "8675309" not in caplog.text
        assert logged(serving.home) == []

    serving.run(scenario)


@pytest.mark.parametrize(("column", "expected"), [("age", "a number"), ("job", "a string")])
def test_a_list_among_plain_values_is_refused_by_row_and_column(serving: Any, column: str, expected: str) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for path, make in ((PREDICT, rows_body), (INFER, tensors_body)):
            body = make(2, 3, column, b"[" + QUOTED + b"]")
            message = said(await client.post(path, content=body), path)
            assert message == f"row 2, column '{column}': must be {expected}, not a list"
        assert logged(serving.home) == []

    serving.run(scenario)


RAW_VALUES: dict[str, tuple[str, Any, str]] = {
    "NaN": ("age", np.nan, "is required and may not be NaN"),
    "infinity": ("age", -np.inf, "may not be infinite"),
    "a number that no sum survives": ("age", 8675309e200, "is too large for a number"),
    "a category nobody knows": ("job", SECRET, "is a category the model does not know"),
    "an empty text": ("job", "", "is a category the model does not know"),
    "a text of half a megabyte": ("job", SECRET * 30_000, "is a category the model does not know"),
}


@pytest.mark.parametrize("case", RAW_VALUES)
def test_a_raw_value_that_does_not_fit_is_refused_by_row_and_column(
    serving: Any, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    column, value, words = RAW_VALUES[case]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for row, rows in ((0, 1), (2, 3), (BULK_ROWS + 1, BULK_ROWS + 2)):
            values = [GOOD[column]] * rows
            values[row] = value
            body, headers = binary_body(rows, {column: raw_of(column, values)})
            message = said(await client.post(INFER, content=body, headers=headers), INFER, 400)
            assert message == f"row {row}, column '{column}': {words}"
        assert SECRET not in caplog.text
        assert logged(serving.home) == []

    serving.run(scenario)
