"""The servers of a benchmark and the rows of its table: who is asked, by which route, with which bodies."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from loadtests.homes import MODEL
from loadtests.rows import Inputs, Person, infer_body, predict_body
from loadtests.servers import Server, free_port, running

REPORTS = Path("reports")
PEERS = {
    "floor": ("bare ASGI on uvicorn, uvloop, httptools; compiled model", "loadtests.bench.peers.floor:app"),
    "fastapi-compiled": ("FastAPI, pydantic body; compiled model", "loadtests.bench.peers.fastapi_compiled:app"),
    "fastapi-sklearn": ("FastAPI, pandas; registered pipeline", "loadtests.bench.peers.fastapi_sklearn:app"),
}


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the table: a server, a route and the bodies that are sent to it in turn."""

    title: str
    server: Server
    path: str
    bodies: tuple[str, ...]


def peer(name: str, model_folder: Path) -> contextlib.AbstractContextManager[Server]:
    """Return a peer on a free port: uvicorn at its best settings, one worker, no access log."""
    port = free_port()
    command = [str(Path(sys.executable).parent / "uvicorn"), PEERS[name][1]]
    command += ["--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    command += ["--no-access-log", "--log-level", "warning", "--workers", "1"]
    return running(
        name,
        command,
        port=port,
        ready_path="/readyz",
        log=REPORTS / f"bench-{name}.log",
        environment={"BENCH_MODEL_FOLDER": str(model_folder), "OMP_NUM_THREADS": "1"},
    )


def predict_bodies(persons: Sequence[Person], units: Sequence[str], rows: int) -> tuple[str, ...]:
    """Return bodies of POST /predict with `rows` people each; every person has a unit."""
    return tuple(
        orjson.dumps(predict_body(MODEL, persons[start : start + rows], units[start : start + rows])).decode()
        for start in range(0, len(persons) - rows + 1, rows)
    )


def infer_bodies(inputs: Inputs, persons: Sequence[Person], units: Sequence[str], rows: int) -> tuple[str, ...]:
    """Return bodies of the Open Inference Protocol with `rows` people each, one unit per request."""
    return tuple(
        orjson.dumps(infer_body(inputs, persons[start : start + rows], units[start])).decode()
        for start in range(0, len(persons) - rows + 1, rows)
    )


def ask(client: httpx.Client, url: str, body: str) -> list[dict[str, Any]]:
    """Send one POST /predict and return its predictions."""
    answer = client.post(f"{url}/predict", content=body, headers={"Content-Type": "application/json"})
    predictions: list[dict[str, Any]] = answer.raise_for_status().json()["predictions"]
    return predictions


def asking() -> httpx.Client:
    """Return a client for `ask`, which keeps its connections."""
    return httpx.Client(timeout=30.0, trust_env=False)


def champion_units(url: str, person: Person, candidates: Sequence[str]) -> tuple[list[str], str]:
    """Return the candidates that the champion answers, and its version: all contenders must run the same model."""
    (body,) = predict_bodies([person] * len(candidates), candidates, len(candidates))
    with asking() as client:
        predictions = ask(client, url, body)
    pairs = zip(candidates, predictions, strict=True)
    kept = [(unit, answer["model_version"]) for unit, answer in pairs if answer["variant"] == "champion"]
    return [unit for unit, _ in kept], kept[0][1]
