"""The process of one model, seen from the worker: started, called, ended on a hang or a crash, started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Never

from numpy.typing import NDArray

from runners.errors import (
    ModelRaisedError,
    ModelRefusedRowsError,
    RunnerAnswerError,
    RunnerCrashedError,
    RunnerStartError,
    RunnerTimeoutError,
)
from runners.frames import Frame, read_frame, write_frame
from runners.policy import RunnerPolicy
from runners.specification import RunnerSpecification

_CHILD: Final = Path(__file__).with_name("child.py")
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0
_EXIT_SECONDS = 1.0
_KEPT_NAMES: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_SET_NAMES: Final[Mapping[str, str]] = {
    # One core per call, as in a worker: batches are the unit of parallelism.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "LOKY_MAX_CPU_COUNT": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true",  # whether this registry is trusted was asked before
}


class RunnerProcess:
    """A model in a process and an environment of its own.

    Safe to use from several threads; they wait for each other. The process starts with the first call, or with
    `start`, and again with the call after one that ended it. Where it cannot start, calls fail at once for a while
    that doubles from one second to a minute.

    Args:
        specification: Which interpreter runs which model.
        policy: Bounds of time and size.
    """

    def __init__(self, specification: RunnerSpecification, policy: RunnerPolicy | None = None) -> None:
        self.specification, self.policy = specification, policy or RunnerPolicy()
        self._calling = threading.Lock()
        self._ending = threading.Lock()  # guards the id of the process: `close` may end it under a call
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._is_closed = False
        self._start_took = 0.0
        self._failed_starts, self._not_before, self._failure = 0, 0.0, ""

    @property
    def process_id(self) -> int | None:
        """The id of the process, None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def start(self) -> None:
        """Start the process and load the model, unless that is done.

        Raises:
            RunnerStartError: It ended, raised, or took longer than the policy allows.
        """
        with self._calling:
            self._ready_connection()

    def describe(self) -> dict[str, Any]:
        """Return what the model's process tells of the model; see `runners/child_model.py`."""
        return self.call({"op": "describe"}, [], seconds=self.policy.start_seconds)[0]

    def call(self, header: Mapping[str, Any], arrays: Sequence[NDArray[Any]], *, seconds: float | None) -> Frame:
        """Return the answer to one call.

        The model is given `seconds`, and never more than the policy allows. A process that does not answer in time
        is ended, but not sooner than starting it took: else callers in a hurry could keep it from ever running.
        Starting again is no part of the model's time; a call whose time is up by then is not made.

        Raises:
            RunnerTimeoutError: It did not answer in time.
            RunnerCrashedError: It ended, or ran out of memory.
            ModelRefusedRowsError: The model raised ValueError or TypeError.
            ModelRaisedError: The model raised something else.
            RunnerAnswerError: Its answer is too large or damaged.
            RunnerStartError: There is no process, and none could be started.
        """
        given = self.policy.call_seconds if seconds is None else min(seconds, self.policy.call_seconds)
        deadline = None if seconds is None else time.monotonic() + given
        with self._calling:
            try:
                answer = self._call(header, arrays, given, deadline)
            except ConnectionError:
                # It was gone before it had read the rows: they had no part in it.
                self._end()
                try:
                    answer = self._call(header, arrays, given, deadline)
                except ConnectionError as error:
                    raise RunnerCrashedError(self._end_and_say_how()) from error
            if "error" in answer[0]:
                self._raise(answer[0]["error"])
            return answer

    def _call(
        self, header: Mapping[str, Any], arrays: Sequence[NDArray[Any]], given: float, deadline: float | None
    ) -> Frame:
        connection = self._ready_connection()
        now = time.monotonic()
        left = given if deadline is None else deadline - now
        if left <= 0:
            raise RunnerTimeoutError(given)
        until = now + max(left, self._start_took)
        try:
            write_frame(connection, header, arrays, until)
            return read_frame(connection, until, self.policy.max_answer_bytes)
        except TimeoutError as error:
            self._end()
            raise RunnerTimeoutError(given) from error
        except EOFError as error:
            raise RunnerCrashedError(self._end_and_say_how()) from error
        except RunnerAnswerError:
            self._end()
            raise

    def close(self) -> None:
        """End the process for good; a call under way fails."""
        self._is_closed = True
        self._kill()
        with self._calling:
            self._end()

    def _raise(self, error: Mapping[str, Any]) -> Never:
        kind, message = str(error.get("type")), str(error.get("message"))
        if kind == "MemoryError":
            self._end()
            limit = self.policy.memory_bytes
            allowed = "" if limit is None else f" (it may have {limit // 1_000_000:,} MB)"
            raise RunnerCrashedError(f"ran out of memory{allowed}")
        if kind == "_AnswerError":
            raise RunnerAnswerError(message)
        if error.get("refused"):
            raise ModelRefusedRowsError(f"{kind}: {message}" if message else kind)
        raise ModelRaisedError(kind)

    # ---- starting ----

    def _ready_connection(self) -> socket.socket:
        """Return the connection to a process that has loaded its model."""
        if self._connection is not None and self._is_alive():
            return self._connection
        self._end()
        if self._is_closed:
            raise RunnerStartError("it is closed")
        now = time.monotonic()
        if now < self._not_before:
            raise RunnerStartError(f"{self._failure}; it is tried again in {self._not_before - now:.0f} s")
        try:
            connection = self._start()
        except RunnerStartError as error:
            self._end()
            pause = min(_PAUSE_SECONDS * 2**self._failed_starts, _LONGEST_PAUSE_SECONDS)
            self._failed_starts += 1
            self._not_before, self._failure = time.monotonic() + pause, error.reason
            raise
        self._failed_starts, self._start_took = 0, time.monotonic() - now
        return connection

    def _start(self) -> socket.socket:
        seconds = self.policy.start_seconds
        deadline = time.monotonic() + seconds
        try:
            self._spawn()
        except OSError as error:
            python = self.specification.python
            raise RunnerStartError(f"{python} cannot be run ({error.strerror})") from error
        connection = self._connection
        if connection is None:
            raise RunnerStartError("it is closed")
        specification = self.specification.model_dump(mode="json")
        try:
            write_frame(connection, {"op": "load", "specification": specification}, [], deadline)
            told, _ = read_frame(connection, deadline, self.policy.max_answer_bytes)
        except TimeoutError as error:
            raise RunnerStartError(f"the model was not loaded within {seconds:g} s") from error
        except (EOFError, OSError) as error:
            raise RunnerStartError(f"it {self._end_and_say_how()} while it loaded the model") from error
        except RunnerAnswerError as error:
            raise RunnerStartError("it did not answer as it should") from error
        if "error" in told:
            raise RunnerStartError(f"{told['error'].get('type')}: {told['error'].get('message')}")
        return connection

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            memory = self.policy.memory_bytes or 0
            arguments = [str(theirs.fileno()), str(os.getpid()), str(memory)]
            try:
                process = _spawner(os.getpid()).submit(
                    subprocess.Popen,
                    [str(self.specification.python), "-I", str(_CHILD), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # what a model prints goes where errors go
                    env=child_environment(),
                    cwd=tempfile.gettempdir(),
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
                started = process.result()
            except BaseException:
                ours.close()
                raise
        with self._ending:
            self._process, self._connection = started, ours
        if self._is_closed:  # `close` looked for a process before there was one
            self._end()

    # ---- ending ----

    def _is_alive(self) -> bool:
        process = self._process
        return process is not None and _exit_status(process) is None

    def _end_and_say_how(self) -> str:
        """End the process, which has closed its socket, and return how it ended by itself."""
        process = self._process
        status: os.waitid_result | None = None
        if process is not None:
            deadline = time.monotonic() + _EXIT_SECONDS
            while (status := _exit_status(process)) is None and time.monotonic() < deadline:
                time.sleep(0.005)
        self._end()
        if status is None:
            return "stopped answering"
        if status.si_code == os.CLD_EXITED:
            return f"ended with status {status.si_status}"
        if status.si_status == signal.SIGKILL:
            return "was killed (signal 9, which is what a system short of memory does)"
        return f"was ended by signal {status.si_status} ({signal.Signals(status.si_status).name})"

    def _kill(self) -> None:
        """Kill the process and what it started; its id stays its own until it is waited for."""
        with self._ending:
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def _end(self) -> None:
        self._kill()
        with self._ending:
            if self._process is not None:
                self._process.wait()
            if self._connection is not None:
                self._connection.close()
            self._process = self._connection = None


@lru_cache(maxsize=1)
def _spawner(process_id: int) -> ThreadPoolExecutor:
    """Return the thread that starts processes, one for the life of this process.

    Linux kills a child not when its parent process ends, but when the thread does that started it.
    """
    return ThreadPoolExecutor(1, thread_name_prefix=f"spawn-{process_id}")


def _exit_status(process: subprocess.Popen[bytes]) -> os.waitid_result | None:
    """Return how the process ended, without taking its id from it; None while it runs."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def child_environment() -> dict[str, str]:
    """Return the environment of a model: none of this process's keys and settings."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT_NAMES}
    return {**kept, **_SET_NAMES}
