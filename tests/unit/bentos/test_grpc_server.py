"""The gRPC server of a worker: deadlines, limits, health, reflection, TLS, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from bentos.ports import grpc_port_or_exit, is_free
from bentos.settings import ServingSettings
from inference.grpc_messages import SERVICE
from monitoring.metrics import REQUESTS
from tests.unit.bentos.grpc_client import Client, Gate, request, run, serving_grpc

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def gate(executor: ThreadPoolExecutor) -> Iterator[Gate]:
    made = Gate()
    yield made
    made.let.set()


def one(value: float) -> Any:
    return request("gate", {"x": [value]})


# ---- deadlines and cancellation ----


def test_who_waits_no_longer_is_told_so_and_never_reaches_the_model(
    service: Any, gate: Gate, executor: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(client: Client) -> None:
        gate.serve(client.worker, executor)
        first = asyncio.create_task(_answer(client, one(1.0)))
        await gate.until_entered()
        code, _ = await client.refused("ModelInfer", one(2.0), timeout=0.05)
        assert code == "DEADLINE_EXCEEDED"
        gate.let.set()
        assert (await first).model_name == "gate"
        await client.call("ModelInfer", one(3.0))

    with caplog.at_level(logging.WARNING):
        run(service, scenario)
    assert gate.calls == [[1.0], [3.0]]
    assert caplog.text == "", "a client's own deadline is nobody's trouble here"


def test_who_hangs_up_leaves_the_queue(service: Any, gate: Gate, executor: ThreadPoolExecutor) -> None:
    async def scenario(client: Client) -> None:
        gate.serve(client.worker, executor)
        first = asyncio.create_task(_answer(client, one(1.0)))
        await gate.until_entered()
        leaving = client.call("ModelInfer", one(2.0))
        while client.server.calls.under_way < 2:
            await asyncio.sleep(0.001)
        leaving.cancel()
        while client.server.calls.under_way > 1:
            await asyncio.sleep(0.001)
        gate.let.set()
        await first
        await client.call("ModelInfer", one(3.0))

    run(service, scenario)
    assert gate.calls == [[1.0], [3.0]]


def test_a_worker_gives_up_by_itself_what_takes_too_long(
    service: Any, gate: Gate, executor: ThreadPoolExecutor
) -> None:
    async def scenario(client: Client) -> None:
        gate.serve(client.worker, executor)
        code, _ = await client.refused("ModelInfer", one(1.0))
        assert code == "DEADLINE_EXCEEDED"
        gate.let.set()

    run(service, scenario, timeout_seconds=0.05)


async def _answer(client: Client, message: Any) -> Any:
    return await client.call("ModelInfer", message)


# ---- limits ----


def test_places_are_shared_with_http_and_health_needs_none(
    service: Any, gate: Gate, executor: ThreadPoolExecutor
) -> None:
    async def scenario(client: Client) -> None:
        gate.serve(client.worker, executor)
        first = asyncio.create_task(_answer(client, one(1.0)))
        await gate.until_entered()
        code, message = await client.refused("ModelInfer", one(2.0))
        assert code == "RESOURCE_EXHAUSTED"
        assert "FAIRMIND_BENTOS_MAX_IN_FLIGHT" in message
        async with httpx.AsyncClient(transport=httpx.ASGITransport(client.door), base_url="http://test") as http:
            assert (await http.post("/v2/models/gate/infer", content=b"{}")).status_code == 429
        assert (await client.call("ServerLive")).live
        assert (await _health(client)) == SERVING
        gate.let.set()
        await first
        await client.call("ModelInfer", one(3.0))
        assert client.worker.metrics.value(REQUESTS, "", "grpc", "RESOURCE_EXHAUSTED") == 1

    run(service, scenario, max_in_flight=1)


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_over_the_limit_is_refused_and_the_next_one_is_answered(
    service: Any, credit: Any, compression: grpc.Compression
) -> None:
    service.serve(credit)

    async def scenario(client: Client) -> None:
        message = request("credit", credit.frame.head(1))
        message.inputs[0].name = "x" * 60_000
        code, _ = await client.refused("ModelInfer", message, compression=compression)
        assert code == "RESOURCE_EXHAUSTED"
        await client.call("ModelInfer", request("credit", credit.frame.head(1)))

    run(service, scenario, max_body_bytes=50_000)


def test_a_message_may_be_as_large_as_a_body_of_http(service: Any, credit: Any) -> None:
    """gRPC's own limit is 4 MiB."""
    service.serve(credit)

    async def scenario(client: Client) -> None:
        frame = credit.frame.loc[credit.frame.index.repeat(600)]
        message = request("credit", frame)
        message.raw_input_contents[0] += b"\0" * 5_000_000
        code, said = await client.refused("ModelInfer", message)
        assert (code, "input 'age' has" in said) == ("INVALID_ARGUMENT", True)

    run(service, scenario)


# ---- health and reflection ----


async def _health(client: Client, name: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(client.channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=name))).status)


@pytest.mark.parametrize("name", ["", SERVICE])
def test_health_is_serving_once_a_model_is_loaded(service: Any, credit: Any, name: str) -> None:
    async def scenario(client: Client) -> tuple[int, int]:
        stub = health_pb2_grpc.HealthStub(client.channel)
        watching = stub.Watch(health_pb2.HealthCheckRequest(service=name))
        before = (await watching.read()).status
        assert await _health(client, name) == before
        service.serve(credit)
        return before, (await watching.read()).status

    assert run(service, scenario) == (NOT_SERVING, SERVING)


def test_health_of_a_service_nobody_knows_is_said_to_be_that(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: Client) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _health(client, "nobody")
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        stub = health_pb2_grpc.HealthStub(client.channel)
        watching = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"))
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        everything = await stub.List(health_pb2.HealthListRequest())
        assert {name: one.status for name, one in everything.statuses.items()} == {"": SERVING, SERVICE: SERVING}

    run(service, scenario)


def test_health_is_open_where_everything_else_is_closed(service: Any, credit: Any) -> None:
    service.serve(credit)
    assert run(service, _health, keys_required=True) == SERVING


def test_reflection_tells_a_client_everything_it_needs(service: Any) -> None:
    async def scenario(client: Client) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, _reflected, client.server.port)

    services, fields = run(service, scenario)
    assert {SERVICE, "grpc.health.v1.Health"} <= services
    assert fields["raw_input_contents"] == 7


def _reflected(port: int) -> tuple[set[str], dict[str, int]]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = descriptor_pool.DescriptorPool(database)
        service = pool.FindServiceByName(SERVICE)
        pool.FindServiceByName("grpc.health.v1.Health")
        fields = service.methods_by_name["ModelInfer"].input_type.fields
        return set(database.get_services()), {field.name: field.number for field in fields}


# ---- how it ends ----


def test_draining_says_so_answers_what_was_taken_and_takes_nothing_new(
    service: Any, gate: Gate, executor: ThreadPoolExecutor
) -> None:
    async def scenario(client: Client) -> None:
        gate.serve(client.worker, executor)
        stub = health_pb2_grpc.HealthStub(client.channel)
        watching = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watching.read()).status == SERVING
        taken = asyncio.create_task(_answer(client, one(1.0)))
        await gate.until_entered()
        began = time.monotonic()
        stopping = asyncio.create_task(client.server.stop())
        assert (await watching.read()).status == NOT_SERVING
        assert not stopping.done()
        code, _ = await client.refused("ModelInfer", one(2.0))
        assert code == "UNAVAILABLE"
        gate.let.set()
        assert (await taken).model_name == "gate"
        await stopping
        assert await watching.read() is grpc.aio.EOF
        assert time.monotonic() - began < client.worker.serving.timeout_seconds
        assert is_free("127.0.0.1", client.server.port)

    run(service, scenario)
    assert gate.calls == [[1.0]]


def test_who_watches_hears_of_the_end_though_nothing_was_under_way(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: Client) -> None:
        watching = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watching.read()).status == SERVING
        await client.server.stop()
        assert (await watching.read()).status == NOT_SERVING
        assert await watching.read() is grpc.aio.EOF

    run(service, scenario)


def test_a_signal_drains_first_and_goes_on_to_who_had_it_before(service: Any, credit: Any) -> None:
    service.serve(credit)
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))

    async def scenario() -> None:
        async with serving_grpc(service) as client:
            assert await _health(client) == SERVING
            signal.raise_signal(signal.SIGTERM)
            while not client.server.calls.is_draining:
                await asyncio.sleep(0.001)
            await client.server.stop()

    try:
        asyncio.run(scenario())
        assert heard == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)
        assert len(heard) == 2, "the handler is back in its place"
    finally:
        signal.signal(signal.SIGTERM, before)


# ---- ports ----


def test_workers_share_a_port_and_another_server_is_refused_it(
    service: Any, credit: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service.serve(credit)
    monkeypatch.delenv("BENTOML_HOST", raising=False)

    async def scenario(client: Client) -> None:
        port = client.server.port
        async with serving_grpc(service, grpc_port=port) as other:
            assert other.server.port == port
        with pytest.raises(SystemExit) as refused:
            grpc_port_or_exit(ServingSettings(grpc_port=port))
        assert refused.value.code == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: something listens on 127.0.0.1:{port} already")
        assert "--grpc-port" in line

    run(service, scenario)


def test_a_port_in_use_without_sharing_stops_the_worker_with_its_name(service: Any, credit: Any) -> None:
    service.serve(credit)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="FAIRMIND_BENTOS_GRPC_PORT"):
            run(service, _health, grpc_port=taken.getsockname()[1])
    grpc_port_or_exit(ServingSettings(grpc_port=1 + 0xFFFE, host="nobody"))


# ---- TLS ----


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from tests.unit.bentos.certificates import make_certificates

    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("mutual", [False, True], ids=["TLS", "mutual TLS"])
def test_with_a_certificate_it_speaks_tls_and_asks_clients_for_theirs_where_told_to(
    service: Any, credit: Any, certificates: Any, mutual: bool
) -> None:
    service.serve(credit)
    settings = {"tls_certificate": certificates.server, "tls_key": certificates.server_key}
    if mutual:
        settings["tls_client_ca"] = certificates.authority

    def channel(shown: bool) -> Any:
        own = {
            "private_key": certificates.client_key.read_bytes(),
            "certificate_chain": certificates.client.read_bytes(),
        }
        credentials = grpc.ssl_channel_credentials(certificates.authority.read_bytes(), **(own if shown else {}))
        return lambda port: grpc.aio.secure_channel(f"localhost:{port}", credentials)

    async def ask(client: Client) -> str:
        try:
            await client.call("ModelInfer", request("credit", credit.frame.head(1)))
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    assert run(service, ask, channel=channel(shown=True), **settings) == "OK"
    assert run(service, ask, channel=channel(shown=False), **settings) == ("UNAVAILABLE" if mutual else "OK")
    assert run(service, ask, **settings) == "UNAVAILABLE"
