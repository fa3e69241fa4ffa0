"""Which route needs which scope, what becomes of requests without it, and what a key is told of the variants."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.tokens import Token, new_token
from bentos.admission import OPEN, needed_for
from bentos.worker import Worker
from monitoring.metrics import REQUESTS
from tests.unit.bentos.keys import write

PREDICT, METADATA, READ = {"predict"}, {"read", "predict"}, {"read"}

ROUTES: list[tuple[str, str, set[str]]] = [
    ("GET", "/livez", set()),
    ("GET", "/readyz", set()),
    ("GET", "/healthz", set()),
    ("GET", "/ping", set()),
    ("GET", "/health", set()),
    ("GET", "/v2/health/live", set()),
    ("GET", "/v2/health/ready", set()),
    ("GET", "/", set()),
    ("GET", "/schema.json", set()),
    ("GET", "/docs.json", set()),
    ("GET", "/static_content/swagger-ui.css", set()),
    ("GET", "/api/v1/docs", set()),
    ("GET", "/api/v1/openapi.json", set()),
    ("POST", "/predict", PREDICT),
    ("POST", "/v2/models/m/infer", PREDICT),
    ("POST", "/v2/models/m/versions/3/infer", PREDICT),
    ("POST", "/v2//models/m/infer/", PREDICT),
    ("POST", "/invocations", PREDICT),
    ("POST", "/models/m/invocations", PREDICT),
    ("POST", "/models/m/versions/3/invocations", PREDICT),
    ("POST", "/v1/models/m:predict", PREDICT),
    ("POST", "/v1/models/m/versions/3:predict", PREDICT),
    ("GET", "/v2", METADATA),
    ("GET", "/v2/models/m", METADATA),
    ("GET", "/v2/models/m/versions/3", METADATA),
    ("GET", "/v2/models/m/ready", METADATA),
    ("GET", "/v1/models", METADATA),
    ("GET", "/v1/models/m", METADATA),
    ("GET", "/version", METADATA),
    ("POST", "/v2/repository/index", READ),
    ("POST", "/v2/repository/models/m/load", {"admin"}),
    ("POST", "/v2/repository/models/m/unload", {"admin"}),
    ("POST", "/bias_test", {"bias"}),
    ("POST", "/api/v1/bias-tests", {"bias"}),
    ("POST", "/api/v1/replays", {"bias"}),
    ("GET", "/api/v1/replays/1/report", {"read"}),
    ("GET", "/api/v1/bias-tests/1/report.html", {"read"}),
    ("POST", "/api/v1/datasets", {"bias"}),
    ("DELETE", "/api/v1/datasets/people", {"bias"}),
    ("GET", "/api/v1/datasets/people", {"read"}),
    ("POST", "/api/v1/bias-v2/upload-dataset", {"bias"}),
    ("POST", "/api/v1/bias-v2/detect", {"bias"}),
    ("GET", "/api/v1/bias-v2/datasets", {"read"}),
    ("GET", "/api/v1/bias-v2/datasets/ds_1", {"bias"}),
    ("GET", "/api/v1/bias-v2/history", {"read"}),
    ("POST", "/api/v1/outcomes", {"outcome"}),
    ("POST", "/api/v1/attributes", {"attribute"}),
    ("GET", "/api/v1/models", READ),
    ("GET", "/api/v1/rollouts", READ),
    ("GET", "/api/v1/rollouts/r-1", READ),
    ("GET", "/metrics", READ),
    ("POST", "/api/v1/rollouts", {"rollout"}),
    ("POST", "/api/v1/rollouts/r-1/weight", {"rollout"}),
    ("POST", "/api/v1/rollouts/r-1/promote", {"rollout"}),
    ("POST", "/api/v1/rollouts/r-1/approve", {"approve"}),
    ("POST", "/api/v1/rollouts/r-1//approve/", {"approve"}),
    ("POST", "/api/v1/mlops/log-test", {"admin"}),
    ("POST", "/api/v1/models/m/promote", {"admin"}),
    ("POST", "/", {"admin"}),
    ("POST", "/schema.json", {"admin"}),
    ("DELETE", "/api/v1/models/m", {"admin"}),
    ("GET", "/no/such/page", READ),
    ("PUT", "/no/such/page", {"admin"}),
]


@pytest.mark.parametrize(("method", "path", "needed"), ROUTES)
def test_every_route_needs_what_the_table_says(method: str, path: str, needed: set[str]) -> None:
    assert needed_for(method, path) == needed


@given(st.sampled_from(["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"]), st.text(max_size=40))
def test_nothing_that_may_change_something_is_open_by_accident(method: str, rest: str) -> None:
    if "health" not in rest and rest not in {"livez", "readyz", "ping"}:
        assert needed_for(method, f"/{rest}") != OPEN


def bearer(token: Token, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token.text}", **more}


def test_beyond_loopback_who_has_no_key_gets_the_probes_and_the_descriptions_only(
    service: Any, credit: Any
) -> None:
    service.serve(credit)
    service.requires_keys = True
    write(service)

    async def unread_body() -> Any:
        raise AssertionError("the body was asked for")
        yield b""

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for path in ("/readyz", "/livez", "/v2/health/live", "/v2/health/ready"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/schema.json")).status_code == 418  # BentoML's
        for path in ("/metrics", "/api/v1/models", "/no/such/page"):
            refused = await client.get(path)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "key_required")
            assert refused.headers["www-authenticate"] == 'Bearer realm="fairmind"'
            assert "Authorization: Bearer" in refused.json()["error"]["message"]
        refused = await client.post("/predict", content=unread_body())
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "key_required")
        for refused in (await client.get("/v2"), await client.post("/v2/models/credit/infer", content=b"{}")):
            assert refused.status_code == 401
            assert isinstance(refused.json()["error"], str)
        for path in ("/v1/models", "/v1/models/credit"):
            refused = await client.get(path)
            assert (refused.status_code, set(refused.json())) == (401, {"error"})
        for path in ("/invocations", "/models/credit/invocations"):
            refused = await client.post(path, content=unread_body())
            assert (refused.status_code, refused.json()["error_code"]) == (401, "UNAUTHENTICATED")
        assert (await client.get("/version")).json()["error_code"] == "UNAUTHENTICATED"
        assert worker.metrics.value(REQUESTS, "", "predict", "401") == 1
        assert worker.metrics.value(REQUESTS, "", "oip", "401") == 2
        basic = await client.post("/predict", headers={"authorization": "Basic dTpw"}, json={})
        assert basic.status_code == 401

    service.run(scenario)


def test_with_a_key_one_may_do_what_it_is_for_and_the_refusal_names_what_is_missing(
    service: Any, credit: Any
) -> None:
    service.serve(credit)
    service.requires_keys = True
    predicting, reading = new_token(), new_token()
    write(service, (predicting, ["predict"]), (reading, ["read"]))
    body = {"instances": credit.instances(1)}

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.post("/predict", json=body, headers=bearer(predicting))).status_code == 200
        assert (await client.get("/v2/models/credit", headers=bearer(predicting))).status_code == 200
        assert (await client.get("/v2/models/credit", headers=bearer(reading))).status_code == 200
        refused = await client.post("/predict", json=body, headers=bearer(reading))
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "scope_missing")
        assert f"key {reading.id} has not the scope 'predict'" in refused.json()["error"]["message"]
        assert 'error="insufficient_scope", scope="predict"' in refused.headers["www-authenticate"]
        refused = await client.post("/v2/models/credit/infer", json={}, headers=bearer(reading))
        assert (refused.status_code, "predict" in refused.json()["error"]) == (403, True)
        assert (await client.get("/metrics", headers=bearer(reading))).status_code == 503  # there is no Companion
        assert (await client.get("/metrics", headers=bearer(predicting))).status_code == 403

    service.run(scenario)


@pytest.mark.parametrize("requires_keys", [False, True])
def test_a_wrong_key_is_refused_wherever_it_comes_from_and_nothing_repeats_it(
    service: Any, credit: Any, requires_keys: bool, caplog: pytest.LogCaptureFixture
) -> None:
    service.serve(credit)
    service.requires_keys = requires_keys
    write(service, (new_token(), ["admin"]))
    wrong = new_token()

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for answer in (
            await client.post("/predict", json={"instances": credit.instances(1)}, headers=bearer(wrong)),
            await client.get("/metrics", headers=bearer(wrong)),
            await client.get("/no/such/page", headers=bearer(wrong)),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "key_refused")
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
            assert wrong.text[-64:] not in answer.text
        assert (await client.get("/readyz", headers=bearer(wrong))).status_code == 200

    with caplog.at_level(logging.DEBUG):
        service.run(scenario)
    assert wrong.text[-64:] not in caplog.text


def test_on_loopback_a_request_without_a_key_is_served_and_told_everything(service: Any, credit: Any) -> None:
    service.serve(credit)
    write(service, (new_token(), ["predict"]))

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answer = await client.post("/predict", json={"instances": credit.instances(1)})
        assert answer.json()["predictions"][0]["variant"] == "champion"

    service.run(scenario)


def test_a_file_of_keys_that_is_missing_or_damaged_closes(service: Any, credit: Any) -> None:
    service.serve(credit)
    service.requires_keys = True
    token = new_token()

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        missing = await client.post("/predict", json={}, headers=bearer(token))
        assert (missing.status_code, missing.json()["error"]["code"]) == (503, "keys_unavailable")
        assert missing.headers["retry-after"] == "1"
        service.keys_file.write_bytes(b'{"keys": [')
        await asyncio.sleep(0.25)
        assert (await client.post("/predict", json={}, headers=bearer(token))).status_code == 503
        assert (await client.post("/predict", json={})).status_code == 401

    service.run(scenario)


def test_scoring_tells_the_variant_to_keys_that_may_read_too(service: Any, credit: Any) -> None:
    service.serve(credit)
    service.requires_keys = True
    predicting, both = new_token(), new_token()
    write(service, (predicting, ["predict"]), (both, ["predict", "read"]))
    rows = credit.frame.head(1).to_dict("records")

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for path in ("/invocations", "/v1/models/credit:predict"):
            hidden = await client.post(path, json={"instances": rows}, headers=bearer(predicting))
            assert "x-fairmind-variant" not in hidden.headers
            shown = await client.post(path, json={"instances": rows}, headers=bearer(both))
            assert shown.headers["x-fairmind-variant"] == "champion"
            assert hidden.json() == shown.json()

    service.run(scenario)


def test_the_variant_is_told_to_keys_that_may_read(service: Any, credit: Any) -> None:
    service.serve(credit)
    service.requires_keys = True
    both, predicting = new_token(), new_token()
    write(service, (both, ["predict", "read"]), (predicting, ["predict"]))
    tensors = [
        {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}
        for name, value in credit.instances(1)[0]["features"].items()
    ]

    async def told(client: httpx.AsyncClient, token: Token) -> list[bool]:
        headers = bearer(token)
        ours = await client.post("/predict", json={"instances": credit.instances(2)}, headers=headers)
        oip = await client.post("/v2/models/credit/infer", json={"inputs": tensors}, headers=headers)
        assert ours.status_code == oip.status_code == 200, oip.text
        assert oip.headers["x-fairmind-model-version"] == ours.json()["predictions"][0]["model_version"]
        return [
            *("variant" in one for one in ours.json()["predictions"]),
            "x-fairmind-variant" in oip.headers,
            "fairmind_variant" in oip.json()["parameters"],
        ]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert await told(client, both) == [True] * 4
        assert await told(client, predicting) == [False] * 4

    service.run(scenario)


def test_a_key_that_comes_too_often_is_told_when_to_come_again(service: Any, credit: Any) -> None:
    service.serve(credit)
    token = new_token()
    write(service, (token, ["predict"]), rate=0.1)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body = {"instances": credit.instances(1)}
        assert (await client.post("/predict", json=body, headers=bearer(token))).status_code == 200
        limited = await client.post("/predict", json=body, headers=bearer(token))
        assert (limited.status_code, limited.json()["error"]["code"]) == (429, "rate_limited")
        assert 1 <= int(limited.headers["retry-after"]) <= 10
        oip = await client.post("/v2/models/credit/infer", json={}, headers=bearer(token))
        assert (oip.status_code, isinstance(oip.json()["error"], str)) == (429, True)
        assert int(oip.headers["retry-after"]) >= 1
        assert (await client.post("/predict", json=body)).status_code == 200  # loopback: nobody's rate

    service.run(scenario)


def test_a_key_is_refused_soon_after_it_is_revoked(service: Any, credit: Any) -> None:
    service.serve(credit)
    token = new_token()
    write(service, (token, ["predict"]))

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body = {"instances": credit.instances(1)}
        assert (await client.post("/predict", json=body, headers=bearer(token))).status_code == 200
        write(service)
        began = datetime.now(UTC)
        while (await client.post("/predict", json=body, headers=bearer(token))).status_code == 200:
            assert datetime.now(UTC) - began < timedelta(seconds=1)
            await asyncio.sleep(0.02)

    service.run(scenario)


# ---- the caller's own id ----


def test_a_callers_id_comes_back_and_is_no_prediction_id(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body, given = {"instances": credit.instances(1)}, {"x-request-id": "trace-7/a"}
        answer = await client.post("/predict", json=body, headers=given)
        assert answer.headers["x-request-id"] == "trace-7/a"
        assert answer.headers["x-fairmind-prediction-id"] != "trace-7/a"
        assert (await client.post("/predict", content=b"{", headers=given)).headers["x-request-id"] == "trace-7/a"
        assert (await client.get("/metrics", headers=given)).headers["x-request-id"] == "trace-7/a"
        assert "x-request-id" not in (await client.post("/predict", json=body)).headers

    service.run(scenario)


@pytest.mark.parametrize("given", [b"", b"a b", b"a\x7f", b"\xc3\xa9", b"a" * 129])
def test_what_is_no_visible_text_of_at_most_128_does_not_come_back(service: Any, credit: Any, given: bytes) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answer = await client.get("/livez", headers=[(b"x-request-id", given)])
        assert (answer.status_code, "x-request-id" in answer.headers) == (200, False)

    service.run(scenario)


def test_the_log_names_a_failure_by_both_ids(
    service: Any, credit: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.serve(credit)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a value of a row")

    monkeypatch.setattr("bentos.predict.predict", fail)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> str:
        answer = await client.post("/predict", json={}, headers={"x-request-id": "trace-7"})
        return str(answer.json()["error"]["request_id"])

    request_id = service.run(scenario)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert line.startswith(f"request {request_id} (trace-7): internal_error (RuntimeError)")


def test_the_file_of_keys_lies_where_workers_look(tmp_path: Path) -> None:
    from database.home import Home

    assert Home.at(tmp_path).api_keys == tmp_path.resolve() / "run" / "keys.json"
