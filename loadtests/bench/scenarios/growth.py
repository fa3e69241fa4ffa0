"""What more models and more columns cost."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from dataclasses import asdict

from loadtests.bench.contenders import Contender
from loadtests.bench.findings import at_least, at_most, marginal_growth, median_ratio
from loadtests.bench.measure import Measured, measure, measure_in_turns, medians
from loadtests.bench.models import MANY_COLUMNS, STRINGS, wide
from loadtests.bench.report import Section
from loadtests.bench.stage import Stage

MODELS = (1, 10, 100)
KEPT, MARGINAL = 0.9, 1.25


def run(stage: Stage) -> list[Section]:
    """Measure 1, 10 and 100 models loaded, then 10 to 500 columns."""
    return [_models(stage), _columns(stage)]


def _models(stage: Stage) -> Section:
    effort = stage.effort
    with ExitStack() as stack:
        contenders = [
            stack.enter_context(stage.serving([STRINGS], copies=count - 1)).predict(STRINGS) for count in MODELS
        ]
        runs: list[list[Measured]] = [[] for _ in contenders]
        for number in range(effort.repeats + 1):
            for count, contender, measured in zip(MODELS, contenders, runs, strict=True):
                stage.say(f"round {number} of {effort.repeats}: {count} models loaded")
                found = _alone(contender, contenders, effort.connections, effort.seconds)
                if number:  # the first round warms up
                    measured.append(found)
    rates = [[one.requests_per_second for one in measured] for measured in runs]
    rows = []
    findings = []
    for count, measured, rate in zip(MODELS, runs, rates, strict=True):
        median = medians(measured)
        kept = median_ratio(rate, rates[0])
        rows.append(
            [
                f"{count}",
                f"{median['requests_per_second']:,.0f}",
                f"{kept:.2f}",
                f"{median['cpu_answering']:.0f}",
                f"{median['p99']:.1f}",
            ]
        )
        if count > 1:
            findings.append(at_least(f"requests/s with {count} models, beside one", kept, KEPT))
    head = ("models loaded", "requests/s", "beside one", "CPU µs per request", "p99 ms")
    notes = ["All requests go to one of the models; servers that are not measured are held meanwhile."]
    raw = [list(map(asdict, measured)) for measured in runs]
    return Section("1, 10 and 100 models loaded", head, rows, findings, notes, raw)


def _alone(contender: Contender, all_of_them: list[Contender], connections: int, seconds: float) -> Measured:
    with ExitStack() as stack:
        for other in all_of_them:
            held = other.server is not contender.server
            stack.enter_context(other.server.paused() if held else nullcontext())
        return measure(contender, connections=connections, seconds=seconds)


def _columns(stage: Stage) -> Section:
    effort = stage.effort
    models = [wide(columns) for columns in MANY_COLUMNS]
    with stage.serving(models) as served:
        runs = measure_in_turns(
            [served.predict(model) for model in models],
            repeats=effort.repeats,
            connections=effort.connections,
            seconds=effort.seconds,
            progress=stage.say,
        )
    found = dict(zip(MANY_COLUMNS, map(medians, runs), strict=True))
    costs = {columns: median["cpu_answering"] for columns, median in found.items()}
    rows = [
        [f"{columns}", f"{cost:,.0f}", f"{cost / columns:.2f}", f"{found[columns]['requests_per_second']:,.0f}"]
        for columns, cost in costs.items()
    ]
    findings = [at_most("a further column beyond 100, beside one below", marginal_growth(costs), MARGINAL, " ×")]
    head = ("columns", "CPU µs per request", "µs per column", "requests/s")
    return Section("10 to 500 columns", head, rows, findings, raw=[list(map(asdict, each)) for each in runs])
