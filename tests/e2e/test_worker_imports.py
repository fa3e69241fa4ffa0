"""A serving worker in a process of its own, as BentoML makes it: what it imported, answered and wrote."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from cli.children import free_port
from compilation.compile import compile_model
from rollout.serving_state import ServedVersion, ServingFile, ServingState, write_file
from tests.fakes.pipelines import labels, people, preprocessing

ROOT = Path(__file__).resolve().parents[2]
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
(LEAN,) = [contract for contract in LINTER["contracts"] if contract["id"] == "workers-are-lean"]
MODELS = {"linear": LogisticRegression(), "trees": HistGradientBoostingClassifier(max_iter=10, random_state=0)}

# What BentoML's worker does with the service: its application, then the lifespan around the requests.
PROGRAM = """
import asyncio, json, sys
import httpx
import service

async def main(requests):
    app = service.FairMind.to_asgi(is_main=True)
    told, said = asyncio.Queue(), asyncio.Queue()
    lifespan = asyncio.create_task(app({"type": "lifespan", "state": {}}, told.get, said.put))
    await told.put({"type": "lifespan.startup"})
    assert (await said.get())["type"] == "lifespan.startup.complete"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answers = {name: (await client.post("/predict", json=body)).json() for name, body in requests.items()}
        live = await client.get("/livez")
    await told.put({"type": "lifespan.shutdown"})
    assert (await said.get())["type"] == "lifespan.shutdown.complete"
    await lifespan
    return {"answers": answers, "live": live.json(), "modules": sorted(sys.modules)}

print(json.dumps(asyncio.run(main(json.load(sys.stdin)))))
"""


@dataclass(frozen=True)
class Run:
    """What the worker printed, the home it worked in, and what scikit-learn says of the same rows."""

    printed: dict[str, Any]
    home: Path
    expected: dict[str, list[float]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("worker")
    home = folder / "home"
    home.mkdir()
    home.chmod(0o755)  # made by somebody else, open to all
    frame = people(200, missing=False)
    rows = [{"features": row} for row in frame.head(5).to_dict("records")]
    states: dict[str, ServingState] = {}
    expected: dict[str, list[float]] = {}
    for name, estimator in MODELS.items():
        model = Pipeline([("columns", preprocessing()), ("model", estimator)]).fit(frame, labels(frame))
        compile_model(model, frame).save(folder / name / "fairmind")
        champion = ServedVersion(version="1", digest=None, folder=str(folder / name))
        states[name] = ServingState(model=name, epoch=1, champion=champion, salt="r-1")
        expected[name] = model.predict_proba(frame.head(5))[:, 1].tolist()
    write_file(home / "run" / "serving.json", ServingFile(unit_salt="salt", models=states))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FAIRMIND_", "BENTOML_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps({name: {"model": name, "instances": rows} for name in MODELS}),
        # As `bentoml serve` tells its workers where they listen; without it they refuse everybody.
        env=kept
        | {
            "FAIRMIND_HOME": str(home),
            "FAIRMIND_BENTOS_GRPC_PORT": str(free_port()),
            "BENTOML_RUNNER_MAP": '{"FairMind": "http://127.0.0.1:3000"}',
        },
        cwd=ROOT,
        umask=0o022,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Run(json.loads(done.stdout.splitlines()[-1]), home, expected)


@pytest.mark.parametrize("library", LEAN["forbidden_modules"])
def test_a_worker_that_has_predicted_holds_no_heavy_library(run: Run, library: str) -> None:
    assert {"service", "bentos.edge", "inference.linear", "inference.trees"} <= {*run.printed["modules"]}
    loaded = [name for name in run.printed["modules"] if name.split(".")[0] == library]
    assert loaded == []


def test_the_contract_lists_all_of_ours_that_a_worker_imports(run: Run) -> None:
    ours = {
        name for name in run.printed["modules"] if "." in name and name.split(".")[0] in LINTER["root_packages"]
    }
    assert ours - {*LEAN["source_modules"]} == {"bentos.processes"}, "it imports the Companion where it makes one"


@pytest.mark.parametrize("model", MODELS)
def test_it_answers_as_the_model_does(run: Run, model: str) -> None:
    answered = [one["probability"] for one in run.printed["answers"][model]["predictions"]]
    np.testing.assert_allclose(answered, run.expected[model], rtol=0, atol=1e-6)


def test_what_it_writes_is_for_its_owner_only(run: Run) -> None:
    segments = [path for path in (run.home / "spool").rglob("*") if path.is_file()]
    assert segments
    written = [run.home / "spool", *segments]
    written += [path for folder in (run.home / "run").glob("metrics-*") for path in (folder, *folder.rglob("*"))]
    assert [path for path in written if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
