"""The server that somebody already has is guarded: its version is the champion, ours harms and is rolled back.

The champion answers from a process that is none of ours, with a model that somebody else trained: `mlflow models
serve`, and MLServer over gRPC. Nothing that a rollout does is seen there but requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.people import (
    CANARY,
    champion,
    later_people,
    logged,
    plan,
    reference_people,
    start,
    unfairly_labelled,
)
from tests.e2e.their_servers import VERSION, Theirs, mlflow_models_serve, mlserver, train_theirs
from tests.waiting import until

pytestmark = pytest.mark.long

MODEL = "people"
MLFLOW_VERSION = f"mlflow-{version('mlflow')}"
"""What stands for a version where a protocol has none: the release of the server."""
UNFAIR = "1"
CONFIG = """\
name: people
source: {kind: file, path: unfair.parquet}
label: employed
favourable: 1
protected: [SEX]
protected_as_features: true
unknown_categories: ignore
estimators:
  unfair: {kind: gradient_boosting}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("remote")


@pytest.fixture(scope="module")
def served(folder: Path, new_deployment: Callable[[Path], Any]) -> Iterator[Any]:
    """A service that serves nothing yet, with our unfair version in its registry and theirs trained elsewhere."""
    deployment = new_deployment(folder / "home")
    people = reference_people(deployment.home / "data")
    people.to_parquet(folder / "people.parquet")
    unfairly_labelled(people).to_parquet(folder / "unfair.parquet")
    (folder / "unfair.yaml").write_text(CONFIG)
    deployment.fairmind("train", str(folder / "unfair.yaml"))
    train_theirs(folder / "people.parquet", "employed", folder / "theirs")
    with deployment.serving(until="/livez", FAIRMIND_REGISTRY_POLL_SECONDS="1") as running:
        yield running


@pytest.mark.parametrize(
    ("serve", "reported"),
    [(mlflow_models_serve, MLFLOW_VERSION), (mlserver, VERSION)],
    ids=["mlflow", "mlserver-grpc"],
)
def test_our_version_that_harms_is_rolled_back_and_their_server_sees_nothing_but_requests(
    served: Any, folder: Path, serve: Callable[[Path], AbstractContextManager[Theirs]], reported: str
) -> None:
    with serve(folder / "theirs") as theirs:
        options = ("--signature", f"{MODEL}/{UNFAIR}", "--alias", "champion")
        added = served.fairmind("variants", "add", MODEL, *theirs.add, *options)
        theirs_is = added["version"]
        assert added["remote_version"] == reported
        served.wait_for_workers(lambda detail: detail["models"].get(MODEL, {}).get("champion") == theirs_is)
        processes, asked, known = theirs.processes(), theirs.asked(), set(logged(served))
        clients = later_people(served, MODEL)
        with clients.asking(f"beside-{theirs_is}"):
            rollout = start(served, plan(UNFAIR, MODEL, steps=CANARY))
            rollout.until("rolled_back")
        assert rollout.violated() == {"dp_diff:SEX"}
        assert champion(served, MODEL) == theirs_is
        assert theirs.processes() == processes
        assert theirs.asked() > asked
        after = later_people(served, MODEL)
        with after.asking(f"after-{theirs_is}"):
            until(lambda: len(after.answered) >= 200)
        assert set(clients.answered.values()) == {theirs_is, UNFAIR}
        assert set(after.answered.values()) == {theirs_is}
        assert after.failed == {}
        answered = clients.answered | after.answered
        until(lambda: answered.keys() <= logged(served).keys())
        assert {one: by for one, by in logged(served).items() if one not in known} == answered
