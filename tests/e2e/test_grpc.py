"""gRPC on a real server with two workers: one port, a worker that dies, and an end that loses nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cli.children import free_port
from inference.grpc_messages import SERVICE, ModelInferResponse
from tests.unit.bentos.grpc_client import outputs, request
from tests.waiting import until

CLIENTS = 4
ROOT = Path(__file__).resolve().parents[2]


def channel(served: Any) -> Any:
    """Return a channel with a connection of its own, which may reach any worker."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    return grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}", options=options)


def infer(opened: Any) -> Callable[..., Any]:
    method: Callable[..., Any] = opened.unary_unary(
        f"/{SERVICE}/ModelInfer", lambda message: message.SerializeToString(), ModelInferResponse.FromString
    )
    return method


@pytest.fixture(scope="module")
def deployment(new_small: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return new_small(tmp_path_factory.mktemp("grpc") / "home")


@pytest.fixture(scope="module")
def served(deployment: Any) -> Iterator[Any]:
    with deployment.serving() as running:
        running.wait_for_workers(lambda detail: detail["ready"])
        yield running


def one_row(features: list[dict[str, Any]], count: int) -> Any:
    row = features[count % len(features)]
    message = request("small", {name: [value] for name, value in row.items()}, id=str(count))
    message.parameters["unit"].string_param = f"person-{count}"
    return message


def listening(served: Any) -> set[int]:
    """Return the processes of the server that listen on the gRPC port."""
    return {
        process.pid
        for process in psutil.Process(served.pid).children(recursive=True)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == served.grpc_port
    }


class Load:
    """Clients that ask for one row at a time, each on a channel of its own, until told to stop.

    Those that are patient wait for a connection where theirs is lost; the others fail at once, thousands of times a
    second, for as long as gRPC waits before it connects again.
    """

    def __init__(self, served: Any, features: list[dict[str, Any]], *, are_patient: bool = False) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self.first_failures: list[str] = []
        self._served, self._features, self._done = served, features, threading.Event()
        self._are_patient = are_patient

    @contextlib.contextmanager
    def running(self) -> Iterator[Load]:
        asking = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(CLIENTS)]
        for thread in asking:
            thread.start()
        try:
            yield self
        finally:
            self._done.set()
            for thread in asking:
                thread.join(60)

    def wait_for(self, more: int) -> None:
        wanted = self.answered + more
        until(lambda: self.answered >= wanted, told=lambda: self.failed[-3:], progress=lambda: self.answered)

    def _ask(self, number: int) -> None:
        with channel(self._served) as opened:
            method, count, failures = infer(opened), number, 0
            while not self._done.is_set():
                count += CLIENTS
                try:
                    row = one_row(self._features, count)
                    answer = method(row, timeout=20, wait_for_ready=self._are_patient)
                    assert answer.id == str(count)
                    self.answered += 1
                except grpc.RpcError as error:
                    self.failed.append(error.code().name)
                    self.first_failures += [error.code().name] if not failures else []
                    failures += 1


def test_it_answers_as_http_does(served: Any, small_features: list[dict[str, Any]]) -> None:
    rows = small_features[:50]
    by_http = served.predict([{"features": row} for row in rows])
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    with channel(served) as opened:
        found = outputs(infer(opened)(request("small", columns), timeout=20))
    assert found["prediction"].tolist() == [one["prediction"] for one in by_http]
    np.testing.assert_allclose(found["probabilities"][:, 1], [one["probability"] for one in by_http], atol=1e-9)
    until(
        lambda: 'protocol="grpc"' in served.get("/metrics").text
    )  # workers tell what they counted from time to time


@pytest.mark.long
def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(
    served: Any, small_features: list[dict[str, Any]]
) -> None:
    before = listening(served)
    assert len(before) == 2
    with Load(served, small_features, are_patient=True).running() as load:
        load.wait_for(50)
        os.kill(min(before), signal.SIGKILL)
        load.wait_for(200)
        served.wait_for_workers(lambda detail: detail["ready"])
        until(lambda: len(listening(served) - {min(before)}) == 2)
        load.wait_for(50)
    # What was under way in the killed one, at most a call of each client, is lost and says so.
    assert set(load.failed) <= {"UNAVAILABLE"}
    assert len(load.failed) <= CLIENTS * 5


@pytest.mark.long
def test_asked_to_end_it_answers_all_it_took_and_refuses_the_rest_by_name(
    deployment: Any, small_features: list[dict[str, Any]]
) -> None:
    with deployment.serving() as served:
        served.wait_for_workers(lambda detail: detail["ready"])
        with channel(served) as watched, Load(served, small_features).running() as load:
            statuses = health_pb2_grpc.HealthStub(watched).Watch(health_pb2.HealthCheckRequest(), timeout=60)
            assert next(statuses).status == health_pb2.HealthCheckResponse.SERVING
            load.wait_for(100)
            began = time.monotonic()
            os.kill(served.pid, signal.SIGTERM)
            assert next(statuses).status == health_pb2.HealthCheckResponse.NOT_SERVING
            psutil.wait_procs([psutil.Process(served.pid)], timeout=30)
        assert time.monotonic() - began < 20
    # Who goes on asking at once, though told to go elsewhere, may be cut off in the middle of it.
    assert set(load.first_failures) == {"UNAVAILABLE"}
    assert set(load.failed) <= {"UNAVAILABLE", "CANCELLED"}
    log = served.server_log.read_text()
    assert "Traceback" not in log
    assert "ExecuteBatchError" not in log


def test_a_second_server_on_the_same_port_is_refused_before_it_starts(
    served: Any, fairmind: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = fairmind(tmp_path, "serve", "--port", str(free_port()), "--grpc-port", str(served.grpc_port))
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert f"127.0.0.1:{served.grpc_port}" in line
    assert "Traceback" not in done.stdout + done.stderr
