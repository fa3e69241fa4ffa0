"""The process that sends: whatever it hangs in, it is ended in time, with all that it has started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.children import free_port
from tests.unit.tracking.conftest import make_record
from tests.waiting import until
from tracking.errors import ProviderUnavailableError, RecordRefusedError
from tracking.sender import SenderProcess
from tracking.settings import Provider

SECRET = "local" + "5" * 35
NewSender = Callable[..., SenderProcess]


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "record.json"
    path.write_text(make_record().model_dump_json())
    return path


@pytest.fixture
def new_sender(tmp_path: Path) -> Iterator[NewSender]:
    made: list[SenderProcess] = []

    def make(provider: str, address: str, request_seconds: float) -> SenderProcess:
        options: dict[str, Any] = {"request_seconds": request_seconds}
        if provider == "wandb":
            options |= {"project": "p", "entity": None, "base_url": address, "folder": str(tmp_path)}
        else:
            options |= {
                "tracking_uri": address,
                "experiment": "e",
                "artifact_root": None,
                "ui": None,
                "embedded": None,
            }
        made.append(SenderProcess(Provider(provider), options, {"WANDB_API_KEY": SECRET}))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


def family(pid: int) -> set[int]:
    found = {pid}
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found |= family(int(child))
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("provider", ["mlflow", "wandb"])
def test_a_provider_that_never_answers_is_given_up_in_time_and_leaves_no_process(
    new_sender: NewSender, silent: str, record: Path, provider: str
) -> None:
    before = family(os.getpid())  # other tests' processes may be there, and may end meanwhile
    sender = new_sender(provider, silent, request_seconds=600)
    began = time.monotonic()
    with pytest.raises(ProviderUnavailableError, match=r"no answer within 10 s"):
        sender.deliver(record, 10)
    assert time.monotonic() - began < 13
    assert family(os.getpid()) <= before


@pytest.mark.parametrize("provider", ["mlflow", "wandb"])
def test_a_provider_that_is_away_is_told_by_its_address_and_without_the_key(
    new_sender: NewSender, record: Path, provider: str
) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ProviderUnavailableError) as caught:
        new_sender(provider, address, request_seconds=3).deliver(record, 120)
    assert address in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(new_sender: NewSender, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    torn = tmp_path / "torn.json"
    torn.write_text('{"id": "t')
    with pytest.raises(RecordRefusedError, match="cannot be read"):
        new_sender("mlflow", f"sqlite:///{tmp_path}/mlflow.db", request_seconds=30).deliver(torn, 120)


PARENT = """
import sys
from pathlib import Path
from tracking.sender import SenderProcess
from tracking.settings import Provider

options = {"project": "p", "entity": None, "base_url": sys.argv[1], "folder": sys.argv[3], "request_seconds": 600}
SenderProcess(Provider.WANDB, options, {"WANDB_API_KEY": "x" * 40}).deliver(Path(sys.argv[2]), 600)
"""


def test_a_process_that_hangs_ends_with_whoever_started_it(silent: str, record: Path, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", PARENT, silent, str(record), str(tmp_path)]
    parent = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL)
    try:
        until(lambda: len(family(parent.pid)) == 3, 60)  # the sender, and the SDK's own service
        started = family(parent.pid) - {parent.pid}
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: not any(map(is_running, started)))
