"""Twice the load that can be served: what is still served, and how the rest is told."""

from __future__ import annotations

import math
import statistics
from typing import Final

from inference.batching import BatchingPolicy
from loadtests.bench.contenders import Contender
from loadtests.bench.findings import Finding, at_least, at_most, not_measured, overload_bound, refusal_cost
from loadtests.bench.in_process import runtime_costs
from loadtests.bench.measure import Load, load
from loadtests.bench.models import FOREST, STRINGS, BenchModel
from loadtests.bench.report import Section
from loadtests.bench.stage import Served, Stage

GOODPUT, CLOSED_GOODPUT, REFUSAL_MILLISECONDS = 0.9, 0.95, 50.0
SLOW_CALL_SECONDS: Final = 0.0025
"""A call of the slow model is to take at least 2 ms; a little more, so that noise leaves it there."""
ROUNDS: Final = 3
TIMES_CONNECTIONS: Final = (1, 2, 4)
HEAD: Final = (
    "load",
    "offered/s",
    "served/s",
    "refused/s",
    "accepted p50 ms",
    "accepted p99 ms",
    "refusal p50 ms",
    "refusal p99 ms",
    "no answer",
    "client's p99 lag ms",
)


def run(stage: Stage) -> list[Section]:
    """Overload a compiled model, and one whose calls take 2 ms and more."""
    with stage.serving([STRINGS, FOREST]) as served:
        compiled = _section(stage, served.predict(STRINGS), f"Overload: {STRINGS.title}", slow=False)
        rows, costs = _rows_of_a_slow_call(stage, served, FOREST)
        slow = _section(stage, served.predict(FOREST, rows), f"Overload: {FOREST.title}", slow=True)
    note = f"{rows} rows a request; one call with them takes {1e3 * costs:.1f} ms when called directly."
    return [compiled, Section(slow.title, slow.head, slow.rows, slow.findings, [note, *slow.notes], slow.raw)]


def _rows_of_a_slow_call(stage: Stage, served: Served, model: BenchModel) -> tuple[int, float]:
    """Return how many rows make a call of `SLOW_CALL_SECONDS`, and the seconds of such a call."""
    features = [person.features for person in served.persons(model, 256)]
    seconds = runtime_costs(served.folder(model), features, stage.scratch)["seconds"]
    per_row = seconds[str(len(features))] / len(features)
    rows = min(len(features), max(1, math.ceil(SLOW_CALL_SECONDS / per_row)))
    return rows, rows * per_row


def _section(stage: Stage, ours: Contender, title: str, *, slow: bool) -> Section:
    effort = stage.effort
    load(ours, connections=effort.connections, seconds=effort.seconds)
    closed_runs: dict[int, list[Load]] = {times: [] for times in TIMES_CONNECTIONS}
    for number in range(ROUNDS):
        for times, runs in closed_runs.items():
            connections = times * effort.connections
            stage.say(f"round {number + 1} of {ROUNDS}: {connections} connections")
            runs.append(load(ours, connections=connections, seconds=effort.seconds))
    calm, doubled = closed_runs[1], closed_runs[2]
    # More connections make larger batches, which cost less a row: the peak is the best that any of them reached.
    peak_runs = max(closed_runs.values(), key=lambda runs: statistics.median(map(_rate, runs)))
    peak = statistics.median(map(_rate, peak_runs))
    stage.say(f"open loop at twice and three times {peak:,.0f} requests/s")
    twice = _open(stage, ours, 2 * peak, effort.long_seconds)
    thrice = _open(stage, ours, 3 * peak, effort.long_seconds / 3)
    served_cost = statistics.median(one.cpu_answering / max(one.served, 1) for one in peak_runs)
    refused_cost = refusal_cost(thrice.cpu_answering, thrice.served, thrice.refused, served_cost)
    share = None if refused_cost is None else refused_cost / served_cost
    # Over the time until the last answer: what was taken in and answered after the last arrival took time too.
    goodput = _rate(twice) / peak
    closed = statistics.median(_rate(two) / _rate(one) for one, two in zip(calm, doubled, strict=True))
    findings = [
        _goodput(goodput, share, slow=slow),
        at_least(
            f"served with {2 * effort.connections} connections, beside {effort.connections}", closed, CLOSED_GOODPUT
        ),
        *_manners(twice),
    ]
    rows = [
        *(
            _row(f"closed loop, {times * effort.connections} connections", runs[-1])
            for times, runs in closed_runs.items()
        ),
        _row("open loop, twice the peak", twice),
        _row("open loop, three times the peak", thrice),
    ]
    cost = "no request was refused" if share is None else f"a refusal costs r = {share:.2f} of a served request"
    notes = [
        f"The peak is {peak:,.0f} requests/s, the best median of the closed loops.",
        f"From the run at three times the peak: {cost}.",
    ]
    raw = [one.answer for runs in (*closed_runs.values(), [twice, thrice]) for one in runs]
    return Section(title, HEAD, rows, findings, notes, raw)


def _open(stage: Stage, ours: Contender, rate: float, seconds: float) -> Load:
    return load(ours, connections=stage.effort.connections, seconds=seconds, rate=rate)


def _goodput(goodput: float, share: float | None, *, slow: bool) -> Finding:
    if slow:
        return at_least("goodput at twice the peak, beside the peak", goodput, GOODPUT)
    figure = "goodput at twice the peak, beside the bound (1-2r)/(1-r)"
    if share is None:  # nothing was refused, so refusals are no excuse
        return at_least(f"{figure}, nothing refused", goodput, GOODPUT)
    bound = overload_bound(share)
    if not bound:
        return not_measured(figure, f"≥ {GOODPUT:g}", f"r = {share:.2f}: nothing can be served by this arithmetic")
    return at_least(f"{figure} = {bound:.2f} of peak", goodput / bound, GOODPUT)


def _manners(found: Load) -> list[Finding]:
    budget = 1e3 * BatchingPolicy().max_wait_seconds
    refusals = (
        at_most("p99 of a refusal", found.latency("p99", refused=True), REFUSAL_MILLISECONDS, " ms")
        if found.refused
        else not_measured("p99 of a refusal", f"≤ {REFUSAL_MILLISECONDS:g} ms", "no request was refused")
    )
    return [
        refusals,
        at_most("p99 of what was accepted: the budget", found.latency("p99"), budget, " ms"),
        at_most("requests without an answer", found.silent, 0),
    ]


def _rate(found: Load) -> float:
    return found.served / float(found.answer["seconds"])


def _row(title: str, found: Load) -> list[str]:
    answer = found.answer
    offered = answer.get("due", answer["requests"]) / answer.get("scheduled_seconds", answer["seconds"])
    return [
        title,
        f"{offered:,.0f}",
        f"{_rate(found):,.0f}",
        f"{found.refused / answer['seconds']:,.0f}",
        f"{found.latency('p50'):.1f}",
        f"{found.latency('p99'):.1f}",
        f"{found.latency('p50', refused=True):.1f}",
        f"{found.latency('p99', refused=True):.1f}",
        f"{found.silent}",
        f"{1e3 * answer['lag']['p99']:.1f}" if "lag" in answer else "-",
    ]
