"""Processes a command starts, waits for, and ends by their own process id."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx

_STOP_SECONDS = 30.0


class ChildFailedError(Exception):
    """A process ended, or was not ready in time; the end of its log says why."""

    def __init__(self, name: str, log: Path, reason: str) -> None:
        self.name, self.log = name, log
        tail = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
        said = f"; it said last: {tail[0][-300:]}" if tail else ""
        super().__init__(f"{name} {reason}{said} (all of it: {log})")


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in a group of its own, its output in `log`; end it and all it started on leaving."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  (our own interpreter and arguments, no shell)
            command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, kill it after half a minute; what it started and left behind is killed too."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        signal_group(process, signal.SIGKILL)
    process.wait(_STOP_SECONDS)


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the process and all it started."""
    os.killpg(process.pid, number)


def wait_until(
    what: str, process: subprocess.Popen[bytes], log: Path, is_ready: Callable[[], bool], seconds: float
) -> None:
    """Wait until `is_ready` says so.

    Raises:
        ChildFailedError: The process ended, or was not ready after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ChildFailedError(what, log, f"ended with status {process.returncode}")
        if is_ready():
            return
        time.sleep(0.2)
    raise ChildFailedError(what, log, f"was not ready after {seconds:.0f} s")


def answers(url: str) -> bool:
    """Return whether a GET of `url` is answered with 200."""
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def free_port(wanted: int | None = None) -> int:
    """Return `wanted` if nothing listens there, else some free port on loopback."""
    for port in (wanted, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on loopback")
