"""Children: what a command started ends with it, and what did not start says why."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cli import children
from cli.children import ChildFailedError, answers, free_port, running, stop, wait_until
from tests.waiting import until

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
{then}
"""


def is_running(pid: int) -> bool:
    """Return whether a process is there and no zombie: nobody here may reap an orphan."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def grandchild(log: Path) -> int:
    until(lambda: log.read_text().endswith("\n"))
    return int(log.read_text().split()[0])


def test_a_process_runs_until_the_block_is_left_and_logs_where_it_was_told(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "it.log"
    with running(
        "it", python("import os; print(os.environ['A'], flush=True); input()"), {"A": "b"}, log
    ) as process:
        until(lambda: log.read_text() == "b\n" or process.poll() is not None)
    assert process.returncode is not None
    assert log.read_text().startswith("b\n")


def test_leaving_by_an_error_ends_the_process_too(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyError),
        running("it", python("import time; time.sleep(600)"), {}, tmp_path / "it.log") as process,
    ):
        raise KeyError
    assert process.poll() == -signal.SIGTERM


@pytest.mark.parametrize(
    "then",
    ["time.sleep(600)", "sys.exit(3)"],
    ids=["a parent that is told to end", "a parent that ended by itself"],
)
def test_what_the_process_started_ends_with_it(tmp_path: Path, then: str) -> None:
    log = tmp_path / "it.log"
    with running("it", python(PARENT.format(then=then)), os.environ, log) as process:
        started = grandchild(log)
        if then == "sys.exit(3)":
            until(lambda: process.poll() is not None)
        assert is_running(started)
    until(lambda: not is_running(started))


def test_a_process_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_STOP_SECONDS", 0.3)
    log = tmp_path / "it.log"
    code = PARENT.format(
        then="import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    with running("it", python(code), os.environ, log) as process:
        until(lambda: "deaf" in log.read_text())
        started = grandchild(log)
    assert process.returncode == -signal.SIGKILL
    until(lambda: not is_running(started))


def test_ending_twice_is_ending_once(tmp_path: Path) -> None:
    process = subprocess.Popen(python("pass"), start_new_session=True)
    process.wait()
    stop(process)
    stop(process)
    assert process.returncode == 0


def test_what_becomes_ready_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    asked = []
    with running("it", python("import time; time.sleep(600)"), {}, log) as process:
        wait_until("it", process, log, lambda: len(asked) > 2 or asked.append(1) is not None, 10)
    assert len(asked) == 3


def test_what_ended_instead_says_how_and_what_it_said_last(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    code = "import sys; print('starting'); print('port 3000 is taken'); sys.exit(7)"
    with (
        running("the server", python(code), {}, log) as process,
        pytest.raises(
            ChildFailedError, match=r"^the server ended with status 7; it said last: port 3000 is taken"
        ) as caught,
    ):
        wait_until("the server", process, log, lambda: False, 20)
    assert (caught.value.name, caught.value.log) == ("the server", log)
    assert str(log) in str(caught.value)


def test_what_is_not_ready_in_time_says_so(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    with (
        running("it", python("import time; time.sleep(600)"), {}, log) as process,
        pytest.raises(ChildFailedError, match=r"^it was not ready after 1 s \(all of it: "),
    ):
        wait_until("it", process, log, lambda: False, 0.6)


def test_a_long_last_line_and_one_that_is_no_text_are_told_in_part(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    log.write_bytes(b"\xff\xfe" + b"x" * 10_000 + b"end")
    message = str(ChildFailedError("it", log, "ended"))
    assert "xend" in message
    assert len(message) < 600
    assert "said last" not in str(ChildFailedError("it", tmp_path / "none.log", "ended"))


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


def test_only_a_200_is_an_answer() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert answers(f"{url}/readyz")
        assert not answers(f"{url}/other")
        server.shutdown()
        thread.join()
    assert not answers(f"{url}/readyz")


def test_a_wanted_port_is_given_when_it_is_free_and_another_when_it_is_not() -> None:
    wanted = free_port()
    assert free_port(wanted) == wanted
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", wanted))
        taken.listen()
        assert free_port(wanted) not in {wanted, 0}
