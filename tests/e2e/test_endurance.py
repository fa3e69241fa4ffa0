"""Many swaps of what is served: memory stays where it was, and no request fails."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline

from bentos.processes import WORKER_ENVIRONMENT
from bentos.settings import ServingSettings
from compilation.compile import compile_model
from registry.mlflow_registry import MlflowRegistry
from registry.store import embedded_tracking_uri
from tests.fakes.pipelines import labels, people, preprocessing

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
WARM_UP, SWAPS, MOST_GROWTH = 20, 200, 0.02
SWAP_SECONDS = 60

# A serving worker without BentoML around it, in a process where nothing else takes memory.
PROGRAM = """
import asyncio, json, sys
from pathlib import Path
import httpx
from access.keyring import Keyring
from bentos import forwarding
from bentos.admission import Admission
from bentos.edge import FrontDoor
from bentos.settings import BatchingSettings, ServingSettings
from bentos.worker import Worker
from monitoring.metrics import ServingMetrics
from monitoring.settings import MonitoringSettings
from rollout.serving_state import ServedVersion, ServingFile, ServingState, write_file

given = json.load(sys.stdin)
home = Path(given["home"])
state_file = home / "run" / "serving.json"

def tell(swap):
    # Two models' files take turns; each swap is a version that nobody has loaded before.
    version = ServedVersion(version=str(swap), digest=None, folder=given["folders"][swap % 2])
    state = ServingState(model="people", epoch=swap, champion=version, salt="s")
    write_file(state_file, ServingFile(unit_salt="s", models={"people": state}))

def resident():
    fields = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) * 1024

async def main():
    serving = ServingSettings(idle_versions=given["idle"])
    tell(0)
    worker = Worker(
        state_file=state_file, spool=home / "spool", serving=serving, batching=BatchingSettings(),
        monitoring=MonitoringSettings(), metrics=ServingMetrics(),
    )
    await worker.start()
    door = FrontDoor(None, worker, forwarding.Companion(), Admission(Keyring(home / "keys.json"), required=False))
    sizes = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://test") as client:
        for swap in range(1, given["swaps"] + 1):
            tell(swap)
            while worker.models["people"].champion.version != str(swap):
                asking = [client.post("/predict", json=given["body"]) for _ in range(4)]
                answer, *_ = await asyncio.gather(*asking)
                assert answer.status_code == 200, answer.text
                await asyncio.sleep(0.02)
            answer = await client.post("/predict", json=given["body"])
            assert answer.json()["predictions"][0]["model_version"] == str(swap)
            if worker.log.waiting_bytes() > 50_000_000:
                worker.log.close()
                for path in (home / "spool").iterdir():
                    path.unlink()
            await asyncio.sleep(0.1)  # the loader's thread gives back what loading took
            sizes.append(resident())
    await worker.stop()
    return sizes

print(json.dumps(asyncio.run(main())))
"""


@pytest.fixture(scope="module")
def forests(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[dict[str, Any]]]:
    """Two forests of some megabytes as a worker loads them, and rows for them."""
    folder, frame = tmp_path_factory.mktemp("forests"), people(10_000, missing=False)
    folders = []
    for seed in range(2):
        estimator = RandomForestClassifier(80, n_jobs=2, random_state=seed)
        model = Pipeline([("columns", preprocessing()), ("model", estimator)]).fit(frame, labels(frame))
        compile_model(model, frame).save(folder / str(seed) / "fairmind")
        folders.append(folder / str(seed))
    sizes = [sum(path.stat().st_size for path in one.rglob("*") if path.is_file()) for one in folders]
    assert min(sizes) > 3_000_000
    return folders, [{"features": row} for row in frame.head(100).to_dict("records")]


@pytest.mark.parametrize("idle", [ServingSettings().idle_versions, 0])
def test_two_hundred_swaps_leave_a_worker_as_large_as_twenty_did(
    tmp_path: Path, forests: tuple[list[Path], list[dict[str, Any]]], idle: int, record_property: Any
) -> None:
    folders, rows = forests
    given = {
        "home": str(tmp_path),
        "folders": list(map(str, folders)),
        "idle": idle,
        "swaps": SWAPS,
        "body": {"instances": rows},
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FAIRMIND_", "BENTOML_"))}
    worker = {entry["name"]: entry["value"] for entry in WORKER_ENVIRONMENT}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(given),
        env=kept | worker,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sizes = json.loads(done.stdout.splitlines()[-1])
    # One reading has the noise of what is just being loaded or freed; the middle one of many has not.
    before, after = statistics.median(sizes[WARM_UP : 3 * WARM_UP]), statistics.median(sizes[-2 * WARM_UP :])
    growth = after / before - 1
    record_property("rss_mb", [round(size / 1e6, 1) for size in (before, after)])
    record_property("growth", round(growth, 4))
    sys.stdout.write(f"idle {idle}: {before / 1e6:.1f} MB -> {after / 1e6:.1f} MB, {growth:+.2%}\n")
    assert growth < MOST_GROWTH, [round(size / 1e6) for size in sizes[::10]]


@pytest.fixture
def small(tmp_path: Path, new_small: Callable[[Path], Any]) -> Iterator[Any]:
    """A server on two versions of `small` that keeps none in memory which does not serve: each swap is a load."""
    deployment = new_small(tmp_path / "home")
    settings = {"FAIRMIND_REGISTRY_POLL_SECONDS": "0.25", "FAIRMIND_BENTOS_IDLE_VERSIONS": "0"}
    with deployment.serving(**settings) as served:
        served.wait_for_workers(lambda detail: detail["ready"])
        yield served


def test_a_swap_every_two_seconds_under_load_fails_no_request(
    small: Any, small_features: list[dict[str, Any]], load: Any, record_property: Any
) -> None:
    registry = MlflowRegistry(embedded_tracking_uri(small.home / "mlflow.db"))
    workers = {small.get("/readyz").json()["worker"] for _ in range(50)}
    with load(small.url, small_features, clients=6, rest_seconds=0.01).running() as asking:
        asking.wait_for(2_000)
        steady = p99(asking)
        before = [psutil.Process(worker).memory_info().rss for worker in sorted(workers)]
        for swap in range(SWAP_SECONDS // 2):
            began, version = time.monotonic(), "2" if swap % 2 == 0 else "1"
            registry.set_alias("small", "champion", version)
            small.wait_for_workers(lambda detail, v=version: detail["models"]["small"]["champion"] == v)
            time.sleep(max(0.0, began + 2 - time.monotonic()))
        swapping = p99(asking, from_=2_000)
        after = [psutil.Process(worker).memory_info().rss for worker in sorted(workers)]
    seen = [version for caller, (_, version, _) in asking.answered.items() if caller.startswith("0-")]
    switched = sum(one != other for one, other in itertools.pairwise(seen))
    figures = {
        "requests": len(asking.answered),
        "switched": switched,
        "p99_ms": [round(1e3 * seconds, 1) for seconds in (steady, swapping)],
        "rss_mb": [[round(size / 1e6) for size in sizes] for sizes in (before, after)],
    }
    record_property("hot swap", figures)
    sys.stdout.write(f"{figures}\n")
    assert asking.failed == []
    assert switched >= 0.8 * SWAP_SECONDS / 2, "the swaps were not followed"


def p99(asking: Any, from_: int = 0) -> float:
    seconds = [took for _, _, took in list(asking.answered.values())[from_:]]
    return statistics.quantiles(seconds, n=100)[-1]
