"""A remote server that is slow, down, wrong or changed under real workers: its callers hear so, others are served.

Nobody else's version answers in its place, every answer is in the log once, and nothing that was refused is.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.e2e.conftest import small_rows
from tests.e2e.people import Watched, logged, start
from tests.fakes.misbehaving_server import RemoteServer
from tests.fakes.remote_model import Fault, RemoteModel
from tests.waiting import until

pytestmark = pytest.mark.long

MODEL, LOCAL = "small", "1"
PROTOCOLS = ("oip", "oip-grpc", "mlflow", "kserve-v1")
TIMEOUT_SECONDS = 3.0

ERROR = ("502", "remote_error")
MISMATCH = ("502", "remote_mismatch")
UNAVAILABLE = ("503", "remote_unavailable")
LATE = ("504", "remote_timeout")
FAULTS = {
    Fault.ERROR: ERROR,
    Fault.BUSY: UNAVAILABLE,
    Fault.HANG: LATE,
    Fault.FEWER_ROWS: MISMATCH,
    Fault.WIDER: MISMATCH,
    Fault.TEXT: MISMATCH,
    Fault.NO_OUTPUT: MISMATCH,
}
"""What callers are told; five failures in a row, and it is left alone for a while and said to be unavailable."""

PLAN: dict[str, Any] = {
    "model": MODEL,
    "steps": [{"weight": 0.5, "min_units": 10**6, "max_duration": "1h", "min_duration": "1h"}],
    "guardrails": [
        {"metric": "error_rate", "margin": 0.02},
        {"metric": "latency_slo", "slo_ms": 400.0, "margin": 0.05},
    ],
    "eval_interval": "1s",
    "rollback_cooldown": "0s",
}


@pytest.fixture(scope="module")
def remote() -> Iterator[RemoteServer]:
    """A server of somebody else's with a model of theirs, trained on the same columns."""
    people = small_rows(600)
    frame, label = people.drop(columns="good"), people["good"]
    columns = make_column_transformer((StandardScaler(), ["age", "amount"]), (OneHotEncoder(), ["job"]))
    model = RemoteModel(make_pipeline(columns, LogisticRegression()).fit(frame, label), frame)
    with RemoteServer(model) as server:
        server.seconds = 1.0  # slow, and within what it may take
        yield server


@pytest.fixture(autouse=True)
def nothing_is_wrong_any_more(remote: RemoteServer) -> Iterator[None]:
    yield
    remote.misbehave(None)
    remote.model.version = "7"


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    new_deployment: Callable[[Path], Any],
    train_small: Callable[[Any], None],
    remote: RemoteServer,
) -> Iterator[Any]:
    """A service with `small`, whose champion is ours, and the server as the champion of a model per protocol."""
    deployment = new_deployment(tmp_path_factory.mktemp("faulty") / "home")
    train_small(deployment)
    with deployment.serving(FAIRMIND_REGISTRY_POLL_SECONDS="0.5") as running:
        for protocol in PROTOCOLS:
            add(running, remote, protocol, f"by-{protocol}", alias="champion")
        names = {MODEL, *(f"by-{protocol}" for protocol in PROTOCOLS)}
        running.wait_for_workers(lambda detail: names <= set(detail["models"]))
        yield running


def add(served: Any, remote: RemoteServer, protocol: str, model: str, alias: str | None = None) -> str:
    """Add the server as a version of a model and return its number."""
    wish = {
        "name": model,
        "url": f"grpc://{remote.target}" if protocol == "oip-grpc" else remote.url,
        "protocol": protocol,
        "model": None if protocol == "mlflow" else remote.model.name,
        "signature": f"{MODEL}/{LOCAL}",
        "timeout_seconds": TIMEOUT_SECONDS,
        "alias": alias,
    }
    answer = served.post("/api/v1/variants", wish)
    assert answer.status_code == 201, answer.text
    version: str = answer.json()["version"]
    return version


@pytest.fixture(scope="module")
def challenger(served: Any, remote: RemoteServer) -> str:
    """The server as a further version of `small`."""
    return add(served, remote, "oip", MODEL)


@pytest.fixture
def rollout(served: Any, challenger: str) -> Iterator[Watched]:
    """A rollout of the server beside our champion, half of the units each."""
    started = start(served, PLAN | {"challenger": challenger})
    served.wait_for_workers(lambda detail: detail["models"][MODEL].get("challenger") == challenger)
    yield started
    if started.now()["finished_at"] is None:
        served.post(f"/api/v1/rollouts/{started.id}/abort", {"reason": "the test is over"})
        started.until("rolled_back")


@pytest.fixture
def asking(served: Any, load: Any, small_features: list[dict[str, Any]]) -> Callable[[str], Any]:
    """Return a function that makes clients of a model, which ask about a unit once."""
    numbers = itertools.count()

    def make(model: str) -> Any:
        prefix = f"{model}-{next(numbers)}-{id(numbers)}-"
        return load(served.url, small_features, clients=2, model=model, prefix=prefix, with_units=True)

    return make


def all_arrive_once(served: Any, *loads: Any) -> None:
    """Hold that what was logged of each is what it was answered, by the versions that the callers were told."""
    for load in loads:
        answered = {one: by for one, by, _ in load.answered.values()}
        assert answered
        until(lambda answered=answered, load=load: answered.keys() <= logged(served, load.prefix).keys())
        assert logged(served, load.prefix) == answered


def until_told(load: Any, expected: tuple[str, str]) -> None:
    """Wait until a caller was answered with this status and code."""
    status, code = expected
    until(
        lambda: any(said.startswith(status) and f'"{code}"' in said for said in load.failed),
        told=lambda: (expected, load.model, load.failed[-3:]),
    )


# ---- as the champion ----


def test_callers_of_a_champion_that_fails_hear_why_and_are_served_as_soon_as_it_is_well(
    served: Any, remote: RemoteServer, asking: Callable[[str], Any]
) -> None:
    loads = [asking(f"by-{protocol}") for protocol in PROTOCOLS]
    with contextlib.ExitStack() as stack:
        for load in loads:
            stack.enter_context(load.running())
            load.wait_for(10)
            assert load.failed == []
        for fault, expected in FAULTS.items():
            for load in loads:
                load.failed.clear()
            with remote.misbehaving(fault):
                for load in loads:
                    until_told(load, expected)
            for load in loads:
                load.wait_for(5)
    for load in loads:
        assert {by for _, by, _ in load.answered.values()} == {"1"}
    all_arrive_once(served, *loads)


def test_a_champion_that_is_down_is_unavailable_and_comes_back_without_anybodys_doing(
    served: Any, remote: RemoteServer, asking: Callable[[str], Any]
) -> None:
    loads = [asking(f"by-{protocol}") for protocol in PROTOCOLS]
    with contextlib.ExitStack() as stack:
        for load in loads:
            stack.enter_context(load.running())
            load.wait_for(5)
        remote.down()
        for load in loads:
            until_told(load, UNAVAILABLE)
        problems = until(lambda: served.get("/readyz").json()["problems"])
        assert any("by-oip/1" in name for name in problems), problems
        remote.up()
        for load in loads:
            load.wait_for(5)
    until(lambda: not served.get("/readyz").json()["problems"], told=lambda: served.get("/readyz").text)
    all_arrive_once(served, *loads)


def test_a_champion_that_says_it_is_another_version_is_logged_as_that_one(
    served: Any, remote: RemoteServer, asking: Callable[[str], Any]
) -> None:
    load = asking("by-oip")
    with load.running():
        load.wait_for(5)
        remote.model.version = "8"
        until(lambda: "1@8" in {by for _, by, _ in load.answered.values()}, told=lambda: load.failed[-1:])
        until(lambda: any("by-oip/1" in name for name in served.get("/readyz").json()["problems"]))
    assert load.failed == []
    all_arrive_once(served, load)


# ---- as the challenger ----


# Before those that fail: a worker that left the server alone learns only by a call that it is back.
def test_a_challenger_that_changes_its_version_pauses_the_rollout(
    served: Any, remote: RemoteServer, rollout: Watched, asking: Callable[[str], Any]
) -> None:
    load = asking(MODEL)
    with load.running():
        load.wait_for(20)
        remote.model.version = "8"
        paused = rollout.until("paused")
        assert "8" in paused["reason"]
        load.wait_for(20)
    assert load.failed == []
    all_arrive_once(served, load)


@pytest.mark.parametrize(
    ("fault", "expected", "violated"),
    [
        (Fault.SLOW, None, {"latency_slo"}),
        (Fault.HANG, LATE, {"error_rate", "latency_slo"}),
        (Fault.ERROR, ERROR, {"error_rate", "latency_slo"}),
        (Fault.WIDER, MISMATCH, {"error_rate", "latency_slo"}),
        (None, UNAVAILABLE, {"error_rate", "latency_slo"}),
    ],
    ids=["slow", "hanging", "failing", "of the wrong shape", "down"],
)
def test_a_challenger_that_fails_is_rolled_back_and_its_units_are_the_champions(
    served: Any,
    remote: RemoteServer,
    rollout: Watched,
    asking: Callable[[str], Any],
    fault: Fault | None,
    expected: tuple[str, str] | None,
    violated: set[str],
) -> None:
    load = asking(MODEL)
    with load.running():
        load.wait_for(20)
        remote.misbehave(fault) if fault else remote.down()
        rollout.until("rolled_back")
        served.wait_for_workers(lambda detail: not detail["models"][MODEL].get("challenger"))
        if expected is None:
            assert load.failed == []
        else:
            until_told(load, expected)
        refused = len(load.failed)
        load.wait_for(50)
        assert len(load.failed) <= refused + load.clients  # what was under way
    if fault is None:
        remote.up()
    found = rollout.violated()
    assert found
    assert found <= violated
    all_arrive_once(served, load)
