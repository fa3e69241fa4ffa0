"""Requests made to cost a worker more than they cost the client, or to write into its log."""

from __future__ import annotations

import gzip
import logging
import time
from typing import Any

import httpx
import pytest

from bentos.compression import decompress
from bentos.errors import MalformedRequestError
from bentos.worker import Worker

INFER = "/v2/models/credit/infer"


@pytest.mark.parametrize("rows", [2**62, 100_001])
def test_rows_without_values_are_counted_before_anything_is_made_per_row(
    service: Any, credit: Any, rows: int
) -> None:
    service.serve(credit)
    tensor = {"name": "x", "datatype": "FP64", "shape": [rows, 0], "data": []}

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        response = await client.post(INFER, json={"inputs": [tensor], "parameters": {"unit": "person-17"}})
        assert (response.status_code, "MAX_ROWS" in response.json()["error"]) == (413, True), response.text

    service.run(scenario)


def test_a_body_of_a_million_empty_gzip_members_is_refused_at_once() -> None:
    body = gzip.compress(b"", mtime=0) * 500_000
    started = time.process_time()
    with pytest.raises(MalformedRequestError, match="members"):
        decompress(body, b"gzip", 32_000_000)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("cut", [1, 65_535, 65_536, 65_537])
def test_members_may_end_anywhere(cut: int) -> None:
    content = bytes(range(256)) * 2_000
    for level in (0, 6):  # stored, so that a member is longer than what is read at once; and compressed
        body = gzip.compress(content[:cut], level) + gzip.compress(content[cut:], level)
        assert decompress(body, b"gzip", len(content)) == content


def test_a_line_end_in_a_path_begins_no_line_of_the_access_log(
    service: Any, credit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service.serve(credit)
    service.serving = service.serving.model_copy(update={"access_log": True})

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        response = await client.post("/v2/models/x%0APOST%20/predict%20200/infer", content=b"{}")
        assert response.status_code == 404

    with caplog.at_level(logging.INFO, "fairmind.access"):
        service.run(scenario)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "fairmind.access"]
    assert line.startswith("POST /v2/models/x%0APOST%20/predict%20200/infer 404 ")
