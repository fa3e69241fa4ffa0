"""Bias tests through the service: 10,000 rows in a request, what predictions notice, and 1,000,000 as a task."""

from __future__ import annotations

import io
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from loadtests.bench.beside import Beside
from loadtests.bench.contenders import REPORTS
from loadtests.bench.findings import Finding, at_most, median_ratio
from loadtests.bench.measure import load, measure
from loadtests.bench.models import STRINGS
from loadtests.bench.report import Section
from loadtests.bench.stage import Served, Stage
from loadtests.errors import ServerFailedError
from loadtests.rows import PROTECTED, Person
from sources.named import CensusPart, census_employment

INLINE_ROWS: Final = 10_000
TASK_ROWS: Final = 1_000_000
SECONDS, TAIL, TASK_SECONDS, TASK_MEGABYTES = 0.5, 1.5, 10.0, 1_000.0
ROUNDS: Final = 9
SHARE_OF_PEAK: Final = 0.3
_LABEL: Final = "employed"
_ALONE: Final = 9
_LOOK_SECONDS: Final = 0.05
_PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Task:
    """What a test of an uploaded data set took.

    Megabytes are the most that any one process of the server, the Companion, had resident; `grown_megabytes` is by
    how much it grew from before the upload to its peak during the test.
    """

    upload_seconds: float
    upload_megabytes: float
    seconds: float
    megabytes: float
    grown_megabytes: float


class Memory:
    """The most that each process of a server was seen to have resident; growth is counted from `first`, or now."""

    def __init__(self, served: Served, first: Memory | None = None) -> None:
        self._served = served
        self._most = served.server.memory_bytes()
        self._at_first: Mapping[int, int] = dict(self._most) if first is None else first._at_first

    def look(self, _client: httpx.Client) -> None:
        """Look once."""
        for process, resident in self._served.server.memory_bytes().items():
            self._most[process] = max(resident, self._most.get(process, 0))

    def megabytes(self) -> float:
        """Return the most of the largest process."""
        return max(self._most.values()) / 1e6

    def grown_megabytes(self) -> float:
        """Return by how much the process grew that grew most."""
        return max(most - self._at_first.get(process, 0) for process, most in self._most.items()) / 1e6


def run(stage: Stage) -> list[Section]:
    """Measure tests alone, predictions without and with tests beside them in turns, and a large test as a task."""
    effort = stage.effort
    with stage.serving([STRINGS], scopes="predict,read,bias") as served:
        body = inline_body(STRINGS.name, served.persons(STRINGS, INLINE_ROWS))
        with httpx.Client(timeout=60.0, trust_env=False) as client:
            alone = [_ask(client, served, body) for _ in range(_ALONE + 1)][1:]
        ours = served.predict(STRINGS)
        peak = measure(ours, connections=effort.connections, seconds=effort.seconds).requests_per_second
        steady, beside, tests, problems = [], [], list[float](), list[str]()
        for number in range(ROUNDS):
            stage.say(f"round {number + 1} of {ROUNDS}: predictions, then predictions beside tests")
            asked: dict[str, Any] = {
                "connections": 4 * effort.connections,
                "seconds": max(effort.seconds, effort.long_seconds / ROUNDS),
                "rate": SHARE_OF_PEAK * peak,
                "seed": number,
            }
            steady.append(load(ours, **asked))
            with Beside(lambda client: tests.append(_ask(client, served, body))) as testing:
                beside.append(load(ours, **asked))
            problems += testing.problems
        stage.say(f"{TASK_ROWS:,} rows as a task")
        task = _task(stage, served)
    tails = [one.latency("p99") for one in beside], [one.latency("p99") for one in steady]
    rows = [
        [f"{INLINE_ROWS:,} rows in a request, alone", f"{1e3 * statistics.median(alone):.0f}", "", ""],
        [f"{INLINE_ROWS:,} rows in a request, beside predictions", _middle(tests), "", ""],
        [
            f"{TASK_ROWS:,} rows, uploaded as Parquet",
            f"{1e3 * task.upload_seconds:,.0f}",
            "",
            f"{task.upload_megabytes:.0f}",
        ],
        [f"{TASK_ROWS:,} rows as a task", f"{1e3 * task.seconds:,.0f}", "", f"{task.megabytes:.0f}"],
        ["predictions, no test", "", f"{statistics.median(tails[1]):.2f}", ""],
        ["predictions, one test after the other beside them", "", f"{statistics.median(tails[0]):.2f}", ""],
    ]
    notes = [
        f"Rows are scored by the string-column pipeline and tested on {' and '.join(PROTECTED)}, with outcomes.",
        f"In an open loop predictions arrive at {SHARE_OF_PEAK * peak:,.0f} a second, {SHARE_OF_PEAK:.0%} of peak.",
        "Memory is the most that the largest process of the server, the Companion, had resident; from before the "
        f"upload to the peak of the test it grew by {task.grown_megabytes:.0f} MB.",
        *problems[:1],
    ]
    head = ("", "median, ms", "p99 of predictions, ms", "MB")
    raw = {
        "alone": alone,
        "beside": tests,
        "p99": {"beside": tails[0], "steady": tails[1]},
        "failed": {
            "beside": [one.answer["failures"] for one in beside],
            "steady": [one.answer["failures"] for one in steady],
        },
        "task": asdict(task),
    }
    failed = sum(one.answer["failures"] for one in beside) + len(problems)
    findings = findings_of(statistics.median(alone), median_ratio(*tails), failed, task)
    return [Section("Bias tests through the service", head, rows, findings, notes, raw)]


def findings_of(alone: float, tail: float, failed: int, task: Task) -> list[Finding]:
    """Return the targets and what became of them; `tail` is p99 with tests beside over p99 without."""
    return [
        at_most(f"a bias test of {INLINE_ROWS:,} rows in a request", alone, SECONDS, " s"),
        at_most("p99 of predictions during bias tests, beside steady", tail, TAIL, " ×"),
        at_most("failed requests during bias tests", failed, 0),
        at_most(f"{TASK_ROWS:,} rows as a task", task.seconds, TASK_SECONDS, " s"),
        at_most(f"memory of {TASK_ROWS:,} rows as a task", task.megabytes, TASK_MEGABYTES, " MB"),
    ]


def inline_body(model: str, persons: Sequence[Person], seed: int = 0) -> bytes:
    """Return the body of a bias test of these people, with outcomes that are drawn."""
    draw = random.Random(seed)
    instances = [
        {"features": person.features, "protected": person.protected, "outcome": draw.randrange(2)}
        for person in persons
    ]
    return orjson.dumps({"model": model, "favourable": 1, "instances": instances})


def _ask(client: httpx.Client, served: Served, body: bytes) -> float:
    started = time.perf_counter()
    url = f"{served.server.url}/bias_test"
    client.post(url, content=body, headers=dict(served.headers)).raise_for_status()
    return time.perf_counter() - started


def _task(stage: Stage, served: Served) -> Task:
    with httpx.Client(
        base_url=served.server.url,
        headers={"Authorization": served.headers["Authorization"]},
        timeout=_PATIENCE_SECONDS,
        trust_env=False,
    ) as client:
        content = _parquet(stage.data_folder)
        uploading = Memory(served)
        started = time.perf_counter()
        with Beside(uploading.look, _LOOK_SECONDS):
            client.post("/api/v1/datasets", params={"name": "million"}, content=content).raise_for_status()
        upload = time.perf_counter() - started
        body = {
            "dataset": "million",
            "model": STRINGS.name,
            "favourable": 1,
            "label": _LABEL,
            "protected": list(PROTECTED),
        }
        memory = Memory(served, uploading)
        with Beside(memory.look, _LOOK_SECONDS):
            started = time.perf_counter()
            location = client.post("/api/v1/bias-tests", json=body).raise_for_status().headers["location"]
            found = _waited_for(client, location)
            seconds = time.perf_counter() - started
    if found["state"] == "done":
        return Task(upload, uploading.megabytes(), seconds, memory.megabytes(), memory.grown_megabytes())
    reason = f"did not finish a test of {TASK_ROWS:,} rows: {found['state']}, {found['reason']}"
    raise ServerFailedError(served.server.name, reason, REPORTS / "bench-fairmind.log")


def _waited_for(client: httpx.Client, location: str) -> dict[str, Any]:
    """Return a test once it is done or failed, or as it is when patience ends."""
    give_up = time.perf_counter() + _PATIENCE_SECONDS
    while True:
        found: dict[str, Any] = client.get(location).raise_for_status().json()
        if found["state"] in {"done", "failed"} or time.perf_counter() > give_up:
            return found
        time.sleep(_LOOK_SECONDS)


def _parquet(data_folder: Path) -> bytes:
    """Return a million people, drawn from those of the census whose outcome is known."""
    sink = io.BytesIO()
    people = (
        census_employment(CensusPart.REFERENCE).read(data_folder).sample(n=TASK_ROWS, replace=True, random_state=0)
    )
    people.drop(columns=["prediction", "predicted_probability"]).to_parquet(sink, index=False, compression="zstd")
    return sink.getvalue()


def _middle(seconds: Sequence[float]) -> str:
    return f"{1e3 * statistics.median(seconds):.0f}" if seconds else ""
