import sys
from pathlib import Path

import httpx
import psutil
import pytest

from loadtests.errors import ServerFailedError
from loadtests.servers import free_port, running


def http_server(port: int) -> list[str]:
    return [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]


def test_a_server_answers_while_it_is_needed_and_is_gone_afterwards(tmp_path: Path) -> None:
    port = free_port()
    with running("files", http_server(port), port=port, ready_path="/", log=tmp_path / "log") as server:
        assert httpx.get(server.url, trust_env=False).status_code == 200
        assert server.cpu_seconds()[server.pid] > 0
        pid = server.pid
    assert not psutil.pid_exists(pid)


def test_a_server_that_ends_by_itself_is_named_with_its_status_and_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no model'); sys.exit(3)"]
    log = tmp_path / "log"
    with (
        pytest.raises(ServerFailedError, match=r"'broken' ended with status 3 .*log"),
        running("broken", command, port=free_port(), ready_path="/", log=log),
    ):
        pass
    assert "no model" in log.read_text()


def test_a_server_that_is_never_ready_is_given_up_and_ended(tmp_path: Path) -> None:
    port = free_port()
    with (
        pytest.raises(ServerFailedError, match="was not ready within 1 s"),
        running("slow", http_server(port), port=port, ready_path="/absent", log=tmp_path / "log", patience=1.0),
    ):
        pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}", trust_env=False)
