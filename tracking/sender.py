"""The process of one provider, seen from ours: started when there is something to send, ended when it hangs."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from tracking.descendants import kill_descendants
from tracking.errors import ProviderUnavailableError, RecordRefusedError, RunNotFoundError
from tracking.outbox import Receipt
from tracking.settings import Provider

_ROOT: Final = Path(__file__).resolve().parents[1]
_EXIT_SECONDS: Final = 2.0
"""What a process that sends has to give a call up by itself, and to end, before it is killed."""


class Sender(Protocol):
    """Sends records to one provider."""

    def deliver(self, path: Path, seconds: float) -> tuple[str, Receipt]:
        """Return the id of the test whose record is at `path`, and what became of it, within `seconds`.

        Raises:
            ProviderUnavailableError: The provider does not answer.
            RecordRefusedError: It will never take this record.
        """
        ...

    def url(self, run_id: str, seconds: float) -> str:
        """Return the address of a run's page, within `seconds`.

        Raises:
            RunNotFoundError: There is no such run, or no page.
            ProviderUnavailableError: The provider does not answer.
        """
        ...

    def close(self) -> None:
        """End it; it begins anew with the next call."""
        ...


class SenderProcess:
    """Sends from a process of its own, one call at a time; implements `Sender`.

    A call that takes too long ends the process, whatever it hangs in.

    Args:
        provider: Whom it sends to.
        options: What `tracking.sending` is told on its standard input, which no other process sees.
        secrets: Variables added to its environment.
    """

    def __init__(self, provider: Provider, options: Mapping[str, Any], secrets: Mapping[str, str]) -> None:
        self._provider, self._options, self._secrets = provider, dict(options), dict(secrets)
        self._calling = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int | None:
        """The id of the process, None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def deliver(self, path: Path, seconds: float) -> tuple[str, Receipt]:
        """Return the id of the test whose record is at `path`, and what became of it; see `Sender`."""
        answer = self._call({"op": "deliver", "path": str(path)}, seconds)
        return answer["test_id"], Receipt(answer["run_id"], answer["url"])

    def url(self, run_id: str, seconds: float) -> str:
        """Return the address of a run's page; see `Sender`."""
        return str(self._call({"op": "url", "run_id": run_id}, seconds)["url"])

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _call(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        if not self._calling.acquire(timeout=seconds):
            raise ProviderUnavailableError(self._provider, f"another call took longer than {seconds:g} s")
        try:
            # From now on: who waited for another call is no reason to end a process that does not hang.
            deadline = time.monotonic() + seconds + _EXIT_SECONDS
            process = self._process
            if process is None or process.poll() is not None:
                self.close()
                process = self._start()
            try:
                assert process.stdin is not None  # noqa: S101  (narrows: it was asked for)
                process.stdin.write(orjson.dumps({**request, "seconds": seconds}) + b"\n")
                process.stdin.flush()
                answer = self._read(process, deadline, seconds)
            except (OSError, EOFError, ValueError):  # `close` may take the pipes away under the call
                self.close()
                raise ProviderUnavailableError(self._provider, "the process that sends ended") from None
        finally:
            self._calling.release()
        self._check(answer)
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FAIRMIND_")}
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), kept.get("PYTHONPATH", "")]))
        process = subprocess.Popen(
            [sys.executable, "-m", "tracking.sending"],
            env=kept | self._secrets,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101  (narrows: it was asked for)
        process.stdin.write(orjson.dumps({"provider": self._provider, **self._options}) + b"\n")
        self._process = process
        return process

    def _read(self, process: subprocess.Popen[bytes], deadline: float, seconds: float) -> dict[str, Any]:
        assert process.stdout is not None  # noqa: S101  (narrows: it was asked for)
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            # An open file number may be beyond what select() takes; poll() takes any.
            waiting = select.poll()
            waiting.register(process.stdout, select.POLLIN)
            if left <= 0 or not waiting.poll(left * 1000):
                self.close()
                raise ProviderUnavailableError(self._provider, f"no answer within {seconds:g} s")
            part = os.read(process.stdout.fileno(), 65_536)
            if not part:
                raise EOFError
            line += part
        answer: dict[str, Any] = orjson.loads(line)
        return answer

    def _check(self, answer: Mapping[str, Any]) -> None:
        match answer["kind"]:
            case "refused":
                raise RecordRefusedError(self._provider, answer["reason"])
            case "missing":
                raise RunNotFoundError(self._provider, answer["reason"])
            case "unavailable":
                self.close()  # it has ended itself
                raise ProviderUnavailableError(self._provider, answer["reason"])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and what its library has started: it does so itself when its standard input ends."""
    with contextlib.suppress(OSError):  # what was not written any more
        if process.stdin is not None:
            process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_EXIT_SECONDS)
    if process.poll() is None:
        kill_descendants(process.pid)
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
