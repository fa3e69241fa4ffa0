"""Requests that the signature refuses are counted in the prediction log, beside its records."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import httpx

from bentos.worker import Worker
from tests.unit.bentos.test_predict import segment_lines


def test_requests_with_a_row_that_does_not_fit_are_counted_in_the_log_by_what_was_wrong(
    service: Any, credit: Any
) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        good = credit.instances(1)
        assert (await client.post("/predict", json={"instances": good})).status_code == 200
        for _ in range(2):
            assert (await client.post("/predict", json={"instances": [*good, {"features": {}}]})).status_code == 422
        frame = {"columns": ["age", "amount", "job"], "data": [["old", 1, "nurse"]]}
        assert (await client.post("/invocations", json={"dataframe_split": frame})).status_code == 400
        for body in ({"instances": [{"features": {}}], "model": "unknown"}, {"instances": []}, {}):
            assert (await client.post("/predict", json=body)).status_code in {400, 404, 422}

    started = time.time()
    service.run(scenario)
    found = [record for record in segment_lines(service.home) if record.get("kind") == "refused"]
    counted: Counter[tuple[str, str]] = Counter()
    for record in found:
        for hour, model, code, requests in record["refused"]:
            assert started - 3_600 < hour <= time.time()
            counted[model, code] += requests
    assert counted == {("credit", "missing_column"): 2, ("credit", "wrong_type"): 1}
