"""Servers that a load test starts and ends itself, each in a process group of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from loadtests.errors import ServerFailedError

STOP_SECONDS = 30.0
QUIET = {"BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: where it answers, and the process at the head of its group."""

    name: str
    url: str
    pid: int
    grpc_port: int = 0

    def memory_bytes(self) -> dict[int, int]:
        """Return the resident memory of each living process of the server, by process id."""
        resident: dict[int, int] = {}
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                resident[process.pid] = process.memory_info().rss
        return resident

    def cpu_seconds(self) -> dict[int, float]:
        """Return the CPU time spent so far by each living process of the server, by process id."""
        spent: dict[int, float] = {}
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent[process.pid] = times.user + times.system
        return spent

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Hold all processes of the server while the body runs, so that what it does when idle costs nobody."""
        processes = self._processes()
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def _processes(self) -> list[psutil.Process]:
        head = psutil.Process(self.pid)
        return [head, *head.children(recursive=True)]


def free_port() -> int:
    """Return a loopback port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    *,
    port: int,
    ready_path: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
    patience: float = 120.0,
    grpc_port: int = 0,
) -> Iterator[Server]:
    """Start a server, wait until it is ready, hand it out, and end its process group on the way out.

    Raises:
        ServerFailedError: It ended by itself, or was not ready within `patience` seconds.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603 - commands are this package's own, never a caller's text
            command,
            stdout=sink,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **QUIET, **(environment or {})},
            start_new_session=True,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_until_ready(name, process, url + ready_path, patience, log)
            yield Server(name, url, process.pid, grpc_port)
        finally:
            _end(process)


def fairmind(
    home: Path,
    *,
    workers: int,
    log: Path,
    patience: float = 120.0,
    settings: Mapping[str, str] | None = None,
) -> contextlib.AbstractContextManager[Server]:
    """Return the service itself, as `fairmind serve` starts it, on a free port and the given home.

    `settings` are further variables of its environment.
    """
    port, grpc_port = free_port(), free_port()
    command = [str(Path(sys.executable).parent / "fairmind"), "serve", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--grpc-port", str(grpc_port), "--workers", str(workers)]
    # BentoML wipes its metrics folder at every start: two servers must not share one BENTOML_HOME.
    environment = {"FAIRMIND_HOME": str(home), "BENTOML_HOME": str(home / "bentoml"), **(settings or {})}
    return running(
        "fairmind",
        command,
        port=port,
        ready_path="/readyz",
        log=log,
        environment=environment,
        patience=patience,
        grpc_port=grpc_port,
    )


def _wait_until_ready(name: str, process: subprocess.Popen[bytes], url: str, patience: float, log: Path) -> None:
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise ServerFailedError(name, f"ended with status {process.returncode} before it was ready", log)
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5.0, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise ServerFailedError(name, f"was not ready within {patience:.0f} s", log)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the group that this process leads, politely first, and what it started outside of the group."""
    started: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid).children(recursive=True)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for child in started:  # psutil knows a process by its start time too: a reused id is not ended
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
