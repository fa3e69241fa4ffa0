"""One measurement, and many of them in turns."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtests.bench.contenders import Contender, ask, asking
from loadtests.errors import AnswersDifferError, ServerFailedError

SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of one contender cost; CPU in microseconds per request, latencies in milliseconds.

    `cpu_answering` is the process of the server that worked most (its worker), `cpu_all` all of its processes.
    """

    cpu_answering: float
    cpu_all: float
    requests_per_second: float
    p50: float
    p95: float
    p99: float
    requests: int
    failures: int


def measure(contender: Contender, *, connections: int, seconds: float) -> Measured:
    """Load one contender for some seconds."""
    before = contender.server.cpu_seconds()
    answer = _call(contender, connections, seconds)
    after = contender.server.cpu_seconds()
    spent = [total - before.get(pid, 0.0) for pid, total in after.items()]
    requests = answer["requests"]
    if not requests:
        raise ServerFailedError(contender.server.name, "answered nothing", Path("reports"))
    return Measured(
        cpu_answering=1e6 * max(spent) / requests,
        cpu_all=1e6 * sum(spent) / requests,
        requests_per_second=requests / answer["seconds"],
        p50=1e3 * answer["p50"],
        p95=1e3 * answer["p95"],
        p99=1e3 * answer["p99"],
        requests=requests,
        failures=answer["failures"],
    )


def measure_in_turns(
    contenders: Sequence[Contender],
    *,
    repeats: int,
    connections: int,
    seconds: float,
    progress: Callable[[str], None],
) -> list[list[Measured]]:
    """Return `repeats` measurements of each contender, taken in turns so that a noisy minute hits all alike."""
    for contender in contenders:
        progress(f"warming {contender.title}")
        measure(contender, connections=connections, seconds=seconds / 2)
    runs: list[list[Measured]] = [[] for _ in contenders]
    for repeat in range(repeats):
        for contender, measured in zip(contenders, runs, strict=True):
            progress(f"round {repeat + 1} of {repeats}: {contender.title}")
            measured.append(measure(contender, connections=connections, seconds=seconds))
    return runs


def medians(runs: Sequence[Measured]) -> dict[str, float]:
    """Return the median of each figure over repeats; failures are summed, because one is one too many."""
    names = list(asdict(runs[0]))
    result = {name: statistics.median([getattr(run, name) for run in runs]) for name in names}
    result["failures"] = sum(run.failures for run in runs)
    return result


def require_same_answers(reference: Contender, others: Sequence[Contender], bodies: int = 64) -> int:
    """Return how many rows were compared; every contender that speaks /predict must answer as the reference does.

    Raises:
        AnswersDifferError: A probability is further away than rounding explains.
    """
    compared = 0
    with asking() as client:
        for body in reference.bodies[:bodies]:
            expected = [row["probability"] for row in ask(client, reference.server.url, body)]
            for other in others:
                for row, answer in enumerate(ask(client, other.server.url, body)):
                    difference = abs(answer["probability"] - expected[row])
                    if difference > SAME:
                        raise AnswersDifferError(other.title, compared + row, difference)
            compared += len(expected)
    return compared


def _call(contender: Contender, connections: int, seconds: float) -> dict[str, Any]:
    port = contender.server.url.rpartition(":")[2]
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as bodies:
        json.dump(contender.bodies, bodies)
        bodies.flush()
        command = [sys.executable, "-m", "loadtests.bench.client", "--port", port, "--path", contender.path]
        command += ["--bodies", bodies.name, "--connections", str(connections), "--seconds", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    result: dict[str, Any] = json.loads(done.stdout)
    return result
