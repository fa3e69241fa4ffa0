"""One request of 10,000 rows with raw binary tensors, its log block included, beside the runtime itself."""

from __future__ import annotations

from typing import Final

import httpx

from loadtests.bench.bodies import Answer, binary_body
from loadtests.bench.contenders import Contender
from loadtests.bench.findings import Finding, at_least, at_most, not_measured
from loadtests.bench.in_process import runtime_costs
from loadtests.bench.measure import load
from loadtests.bench.models import BOOSTING, FOREST, LINEAR, STRINGS, BenchModel
from loadtests.bench.report import Section
from loadtests.bench.stage import Served, Stage

ROWS: Final = 10_000
SHARE_OF_RUNTIME, ADDED_MILLISECONDS = 0.5, 5.0
CHEAP_MICROSECONDS: Final = 0.5
MODELS: Final = (STRINGS, BOOSTING, LINEAR, FOREST)


def run(stage: Stage) -> list[Section]:
    """Send 10,000 rows at a time over one connection."""
    rows, findings, raw = [], [], {}
    with stage.serving(MODELS) as served:
        for model in MODELS:
            stage.say(f"{ROWS:,} rows of {model.name}")
            persons = served.persons(model, ROWS)
            direct = runtime_costs(served.folder(model), [person.features for person in persons], stage.scratch)
            runtime = direct["seconds"][str(ROWS)]
            contender = _contender(served, model)
            if (problem := _problem(contender)) is not None:
                stage.say(f"NOT MEASURED: {model.name}: {problem}")
                findings.append(not_measured(f"{ROWS:,} rows, {model.name}", "an answer", problem))
                continue
            found = load(contender, connections=1, seconds=stage.effort.seconds * 2)
            seconds = found.latency("p50") / 1e3
            raw[model.name] = {"runtime": direct, "served": found.answer}
            rows.append(
                [
                    model.title,
                    f"{1e3 * runtime:.1f}",
                    f"{1e3 * seconds:.1f}",
                    f"{ROWS / seconds:,.0f}",
                    f"{runtime / seconds:.2f}",
                    f"{found.answer['failures']}",
                ]
            )
            findings.append(_finding(model, runtime, seconds))
    head = ("model", "runtime ms", "request ms", "rows/s", "of the runtime's rows/s", "failed")
    return [Section(f"{ROWS:,} rows in one request", head, rows, findings, raw=raw)]


def _contender(served: Served, model: BenchModel) -> Contender:
    body, headers = binary_body(served.inputs(model), served.persons(model, ROWS), "bulk")
    return Contender(
        f"{ROWS:,} rows of {model.name}",
        served.server,
        f"/v2/models/{model.name}/infer",
        (body,),
        _no_rows,
        headers,
    )


def _no_rows(_answer: object) -> list[Answer]:
    return []


def _problem(contender: Contender) -> str | None:
    with httpx.Client(timeout=60.0, trust_env=False) as client:
        url = f"{contender.server.url}{contender.path}"
        answer = client.post(url, content=contender.bodies[0], headers=dict(contender.headers))
    return None if answer.status_code == httpx.codes.OK else f"status {answer.status_code}: {answer.text[:200]}"


def _finding(model: BenchModel, runtime: float, seconds: float) -> Finding:
    figure = f"{ROWS:,} rows, {model.name}"
    if 1e6 * runtime / ROWS >= CHEAP_MICROSECONDS:
        return at_least(f"{figure}: rows/s beside the runtime's", runtime / seconds, SHARE_OF_RUNTIME)
    return at_most(f"{figure}: added to the runtime", 1e3 * (seconds - runtime), ADDED_MILLISECONDS, " ms")
