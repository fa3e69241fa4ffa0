"""Who is measured: a server, a route, the bodies sent to it in turn, and how its answers are read."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from loadtests.bench.bodies import Answer, Bodies, Reader, read_predictions
from loadtests.bench.client import JSON_TYPE
from loadtests.errors import AnswersDifferError
from loadtests.servers import Server, free_port, running

REPORTS: Final = Path("reports")
SAME: Final = 1e-6
ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LOKY_MAX_CPU_COUNT": "1",
}
FLOOR, COMPILED, NATIVE = "floor", "fastapi-compiled", "fastapi-sklearn"
OWN_PEERS: Final[Mapping[str, tuple[str, str]]] = {
    FLOOR: ("bare ASGI on uvicorn, uvloop, httptools; compiled model", "loadtests.bench.peers.floor:app"),
    COMPILED: ("FastAPI, pydantic body; compiled model", "loadtests.bench.peers.fastapi_compiled:app"),
    NATIVE: ("FastAPI, pandas; registered pipeline", "loadtests.bench.peers.fastapi_sklearn:app"),
}
"""Peers that need nothing but the project's own environment."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of a table; the module `generator` sends its load, to `port` or, if that is 0, to the HTTP port."""

    title: str
    server: Server
    path: str
    bodies: Bodies
    read: Reader = read_predictions
    headers: Mapping[str, str] = field(default_factory=lambda: JSON_TYPE)
    port: int = 0
    generator: str = "loadtests.bench.client"

    def ask(self, client: httpx.Client, body: bytes) -> list[Answer]:
        """Send one body and return what was said of its rows."""
        answer = client.post(f"{self.server.url}{self.path}", content=body, headers=dict(self.headers))
        return self.read(answer.raise_for_status().json())


def own_peer(name: str, model_folder: Path) -> contextlib.AbstractContextManager[Server]:
    """Return a peer on a free port: uvicorn at its best settings, one worker, no access log."""
    port = free_port()
    command = [str(Path(sys.executable).parent / "uvicorn"), OWN_PEERS[name][1]]
    command += ["--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    command += ["--no-access-log", "--log-level", "warning", "--workers", "1"]
    return running(
        name,
        command,
        port=port,
        ready_path="/readyz",
        log=REPORTS / f"bench-{name}.log",
        environment={"BENCH_MODEL_FOLDER": str(model_folder), **ONE_THREAD},
    )


def require_same_answers(reference: Contender, others: Sequence[Contender], bodies: int = 64) -> int:
    """Return how many rows were compared; every contender must answer as the reference does, whatever it answers.

    Raises:
        AnswersDifferError: A label is another one, or a probability further away than rounding explains.
    """
    compared = 0
    with httpx.Client(timeout=60.0, trust_env=False) as client:
        for index in range(min(bodies, len(reference.bodies))):
            expected = reference.ask(client, reference.bodies[index])
            for other in others:
                for row, (known, answer) in enumerate(
                    zip(expected, other.ask(client, other.bodies[index]), strict=True)
                ):
                    if (what := _difference(known, answer)) is not None:
                        raise AnswersDifferError(other.title, compared + row, what)
            compared += len(expected)
    return compared


def _difference(known: Answer, answer: Answer) -> str | None:
    if None not in (known.label, answer.label) and known.label != answer.label:
        return "another label"
    if known.probability is None or answer.probability is None:
        return None
    difference = abs(known.probability - answer.probability)
    return None if difference <= SAME else f"a probability {difference:.3g} away"
