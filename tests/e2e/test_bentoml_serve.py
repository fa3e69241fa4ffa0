"""`bentoml serve .` in a home without a model: BentoML's seams that we stand on, and what starting promises."""

from __future__ import annotations

import inspect
import os
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import bentoml
import httpx
import psutil
import pytest
from _bentoml_sdk.service.factory import Service

from cli.children import answers, free_port, running, wait_until
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]
BENTOML, FAIRMIND = (Path(sys.executable).with_name(name) for name in ("bentoml", "fairmind"))
# BentoML's own rehearsal: what it would report is logged instead of sent.
REHEARSAL = {"__BENTOML_DEBUG_USAGE": "True"}


def environment(home: Path, **more: str) -> dict[str, str]:
    libraries = ("FAIRMIND_", "MLFLOW_", "BENTOML_", "WANDB_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(libraries)}
    return kept | REHEARSAL | {"FAIRMIND_HOME": str(home)} | more


@dataclass(frozen=True)
class Served:
    """A running server."""

    url: str
    home: Path
    log: Path
    pid: int

    def ask(self, method: str, path: str, **headers: str) -> httpx.Response:
        return httpx.request(method, self.url + path, headers=headers, timeout=30, trust_env=False)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    home, log, port = folder / "home", folder / "server.log", free_port()
    home.mkdir()
    home.chmod(0o755)  # made by somebody else, open to all
    command = ["sh", "-c", 'umask 022 && cd "$0" && exec "$1" serve .', str(ROOT), str(BENTOML)]
    variables = environment(home, FAIRMIND_BENTOS_PORT=str(port), FAIRMIND_BENTOS_GRPC_PORT=str(free_port()))
    with running("the server", command, variables, log) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until("the server", process, log, lambda: answers(f"{url}/api/v1/status"), PATIENCE)
        yield Served(url, home, log, process.pid)


# ---- BentoML's seams ----


def test_a_service_may_be_of_a_class_of_ours_which_makes_the_application() -> None:
    assert "service_class" in inspect.signature(bentoml.service).parameters
    assert list(inspect.signature(Service.to_asgi).parameters) == ["self", "is_main"]


def test_bentoml_asks_our_class_for_the_application(served: Served) -> None:
    """The body is ours: BentoML's own answer to /livez is empty."""
    assert served.ask("GET", "/livez").json() == {"live": True}
    assert served.ask("GET", "/readyz").status_code == 503
    assert served.ask("GET", "/docs.json").json()["info"]["title"] == "FairMind"


def test_it_listens_on_loopback_unless_told_otherwise(served: Served) -> None:
    processes = [psutil.Process(served.pid), *psutil.Process(served.pid).children(recursive=True)]
    listening = {
        connection.laddr.ip.removeprefix("::ffff:")  # gRPC's socket is one of IPv6 where there is any
        for process in processes
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_the_companion_gives_way_to_the_workers(served: Served) -> None:
    supervisor = psutil.Process(served.pid)

    def niceness() -> dict[str, int]:
        return {
            name: process.nice() - supervisor.nice()
            for process in supervisor.children(recursive=True)
            for option, name in pairwise(process.cmdline())
            if option == "--service-name"
        }

    nicest = min(10, 19 - supervisor.nice())  # there is no more than 19, and the tests themselves may be run nicely
    # Once it has looked what is to serve.
    until(lambda: niceness() == {"FairMind": 0, "FairMindCompanion": nicest}, told=niceness)
    if Path("/proc/sys/kernel/sched_autogroup_enabled").read_text(encoding="ascii").strip() == "1":
        (companion,) = (child for child in supervisor.children(recursive=True) if child.nice() > supervisor.nice())
        group = Path(f"/proc/{companion.pid}/autogroup").read_text(encoding="ascii")
        assert group.split()[-1] == "10"  # else its own session's group would get as much as a worker's


def test_what_polls_for_grpc_gives_way_to_the_event_loop_and_nothing_else_does(served: Served) -> None:
    (worker,) = (
        process
        for process in psutil.Process(served.pid).children(recursive=True)
        for option, name in pairwise(process.cmdline())
        if (option, name) == ("--service-name", "FairMind")
    )
    policies = Counter(os.sched_getscheduler(thread.id) for thread in worker.threads())
    assert policies[os.SCHED_BATCH] == 1
    assert os.sched_getscheduler(worker.pid) == os.SCHED_OTHER


# ---- what starting promises ----


def test_nothing_is_reported_to_anybody(served: Served) -> None:
    """BentoML's command line asks for the switch, and keeps the answer, before it imports our service."""
    assert "Tracking" not in served.log.read_text()


def test_what_is_reported_when_the_user_says_so_shows_that_the_rehearsal_works(tmp_path: Path) -> None:
    variables = environment(tmp_path / "home", BENTOML_DO_NOT_TRACK="False", FAIRMIND_TYPO="1")
    done = subprocess.run(
        [BENTOML, "serve", "."],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "Tracking Payload" in done.stdout + done.stderr


def test_all_files_are_for_their_owner_only_though_the_home_is_open(served: Served) -> None:
    written = [path for path in served.home.rglob("*") if not path.is_symlink()]
    assert {"fairmind.db", "predictions.db", "mlflow.db", "serving.json"} <= {path.name for path in written}
    open_to_others = []
    for path in written:
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:  # a temporary file that has done its work
            continue
        if stat.S_IMODE(mode) & 0o077:
            open_to_others.append(str(path))
    assert open_to_others == []


@pytest.mark.parametrize("command", [[BENTOML, "serve", "."], [FAIRMIND, "serve"]], ids=lambda made: made[0].name)
def test_a_setting_that_does_not_exist_refuses_at_once_with_one_line(command: list[str], tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(tmp_path / "home", FAIRMIND_HOMES="1"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "error: FAIRMIND_HOMES is not a setting; did you mean FAIRMIND_HOME?\n"
    assert done.stdout == ""
    assert time.monotonic() - began < 30


# ---- the control API behind the front door ----


def test_the_front_doors_id_is_the_answers_id_whatever_the_caller_sent(served: Served) -> None:
    answer = served.ask("GET", "/api/v1/models/nope", **{"X-Request-Id": "mine"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (404, "model_not_found")
    assert len(error["request_id"]) == 36


def test_another_method_is_405_in_our_shape_and_names_the_right_one(served: Served) -> None:
    answer = served.ask("DELETE", "/api/v1/models")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


def test_an_unknown_path_outside_of_ours_is_bentomls_404(served: Served) -> None:
    answer = served.ask("GET", "/no/such/page")
    assert answer.status_code == 404
    assert "request_id" not in answer.text


def test_when_the_supervisor_is_killed_what_it_started_ends_too(tmp_path: Path) -> None:
    command = [str(FAIRMIND), "serve", "--port", str(free_port()), "--grpc-port", str(free_port())]
    log = tmp_path / "server.log"
    with running("the server", command, environment(tmp_path / "home"), log) as process:
        supervisor = psutil.Process(process.pid)
        until(
            lambda: (
                len(supervisor.children(recursive=True)) >= 2 and "FairMindCompanion initialized" in log.read_text()
            )
        )
        children = supervisor.children(recursive=True)
        supervisor.kill()
        _, alive = psutil.wait_procs(children, timeout=PATIENCE)
        assert alive == []
