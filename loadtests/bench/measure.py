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

from loadtests.bench.client import write_load
from loadtests.bench.contenders import Contender
from loadtests.bench.tally import OK
from loadtests.errors import ServerFailedError


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


@dataclass(frozen=True, slots=True)
class Load:
    """One run of the load generator: CPU seconds of the server's busiest process and of all, and what came back.

    `answer` is the generator's JSON (`loadtests.bench.tally`), latencies in seconds.
    """

    cpu_answering: float
    cpu_all: float
    answer: dict[str, Any]

    @property
    def served(self) -> int:
        """Requests answered with 200."""
        return int(self.answer["statuses"].get(str(OK), 0))

    @property
    def refused(self) -> int:
        """Requests answered with another status."""
        return int(self.answer["requests"]) - self.served

    @property
    def silent(self) -> int:
        """Requests that got no answer: connections lost, and what still waited when patience ended."""
        return int(self.answer["lost"]) + int(self.answer["unanswered"])

    def latency(self, name: str, *, refused: bool = False) -> float:
        """Return `p50`, `p95`, `p99` or `largest` in milliseconds, of served or refused requests; 0 without any."""
        groups = self.answer["by_status"].items()
        found = [figures[name] for status, figures in groups if (status != str(OK)) == refused]
        return 1e3 * max(found, default=0.0)


def load(
    contender: Contender, *, connections: int, seconds: float, rate: float | None = None, seed: int = 0
) -> Load:
    """Load one contender for some seconds: in a closed loop, or in an open one of `rate` requests a second."""
    before = contender.server.cpu_seconds()
    answer = _call(contender, connections, seconds, rate, seed)
    after = contender.server.cpu_seconds()
    spent = [total - before.get(pid, 0.0) for pid, total in after.items()]
    return Load(max(spent), sum(spent), answer)


def measure(contender: Contender, *, connections: int, seconds: float) -> Measured:
    """Load one contender in a closed loop for some seconds.

    Raises:
        ServerFailedError: It answered nothing.
    """
    found = load(contender, connections=connections, seconds=seconds)
    requests = found.answer["requests"]
    if not requests:
        raise ServerFailedError(contender.server.name, "answered nothing", Path("reports"))
    return Measured(
        cpu_answering=1e6 * found.cpu_answering / requests,
        cpu_all=1e6 * found.cpu_all / requests,
        requests_per_second=found.served / found.answer["seconds"],
        p50=1e3 * found.answer["p50"],
        p95=1e3 * found.answer["p95"],
        p99=1e3 * found.answer["p99"],
        requests=requests,
        failures=found.answer["failures"],
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


def _call(contender: Contender, connections: int, seconds: float, rate: float | None, seed: int) -> dict[str, Any]:
    port = str(contender.port or contender.server.url.rpartition(":")[2])
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        write_load(Path(file.name), contender.path, contender.bodies, contender.headers)
        command = [sys.executable, "-m", contender.generator, "--port", port, "--load", file.name]
        command += ["--connections", str(connections), "--seconds", str(seconds), "--seed", str(seed)]
        if rate is not None:
            command += ["--rate", str(rate)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    result: dict[str, Any] = json.loads(done.stdout)
    return result
