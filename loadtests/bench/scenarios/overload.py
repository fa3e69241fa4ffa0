"""Twice the load that can be served: what is still served, and how the rest is told."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Round:
    """Runs one after the other, so that they met the same machine: closed loops by connections, then open ones."""

    closed: Mapping[int, Load]
    twice: Load
    thrice: Load


def _section(stage: Stage, ours: Contender, title: str, *, slow: bool) -> Section:
    load(ours, connections=stage.effort.connections, seconds=stage.effort.seconds)
    rounds = [_round(stage, ours, number) for number in range(1, ROUNDS + 1)]
    few, twice_as_many = (times * stage.effort.connections for times in TIMES_CONNECTIONS[:2])
    # More connections make larger batches, which cost less a row: the peak is the best that any number reached.
    best = max(rounds[0].closed, key=lambda number: statistics.median(_rate(one.closed[number]) for one in rounds))
    peak = statistics.median(_rate(one.closed[best]) for one in rounds)
    share = _share_of_a_refusal(rounds, best)
    # Over the time until the last answer: what was taken in and answered after the last arrival took time too.
    goodput = statistics.median(_rate(one.twice) / _rate(one.closed[best]) for one in rounds)
    closed = statistics.median(_rate(one.closed[twice_as_many]) / _rate(one.closed[few]) for one in rounds)
    findings = [
        _goodput(goodput, share, slow=slow),
        at_least(f"served with {twice_as_many} connections, beside {few}", closed, CLOSED_GOODPUT),
        *_manners([one.twice for one in rounds]),
    ]
    middle = sorted(rounds, key=lambda one: _rate(one.twice))[ROUNDS // 2]
    rows = [
        *(_row(f"closed loop, {number} connections", run) for number, run in middle.closed.items()),
        _row("open loop, twice the peak", middle.twice),
        _row("open loop, three times the peak", middle.thrice),
    ]
    cost = "no request was refused" if share is None else f"a refusal costs r = {share:.2f} of a served request"
    notes = [
        f"{ROUNDS} rounds of closed loops, twice the peak of that round and three times; ratios are medians of the"
        " rounds', latencies the largest of them; the rows are those of one round.",
        f"The peak is {peak:,.0f} requests/s, the best median of the closed loops ({best} connections).",
        f"From the runs at three times the peak: {cost}.",
    ]
    raw = [run.answer for one in rounds for run in (*one.closed.values(), one.twice, one.thrice)]
    return Section(title, HEAD, rows, findings, notes, raw)


def _round(stage: Stage, ours: Contender, number: int) -> _Round:
    effort = stage.effort
    seconds = effort.long_seconds / ROUNDS
    closed = {}
    for times in TIMES_CONNECTIONS:
        connections = times * effort.connections
        stage.say(f"round {number} of {ROUNDS}: {connections} connections")
        closed[connections] = load(ours, connections=connections, seconds=seconds / 2)
    peak = max(map(_rate, closed.values()))
    stage.say(f"round {number} of {ROUNDS}: open loop at twice and three times {peak:,.0f} requests/s")
    return _Round(closed, _open(stage, ours, 2 * peak, seconds), _open(stage, ours, 3 * peak, seconds / 3))


def _share_of_a_refusal(rounds: Sequence[_Round], connections: int) -> float | None:
    """Return the CPU of a refusal beside that of a served request, None where nothing was refused."""
    served = statistics.median(
        one.closed[connections].cpu_answering / max(one.closed[connections].served, 1) for one in rounds
    )
    costs = [
        refusal_cost(one.thrice.cpu_answering, one.thrice.served, one.thrice.refused, served) for one in rounds
    ]
    known = [cost for cost in costs if cost is not None]
    return statistics.median(known) / served if known else None


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


def _manners(found: Sequence[Load]) -> list[Finding]:
    budget = 1e3 * BatchingPolicy().max_wait_seconds
    refusals = (
        at_most(
            "p99 of a refusal", max(one.latency("p99", refused=True) for one in found), REFUSAL_MILLISECONDS, " ms"
        )
        if any(one.refused for one in found)
        else not_measured("p99 of a refusal", f"≤ {REFUSAL_MILLISECONDS:g} ms", "no request was refused")
    )
    return [
        refusals,
        at_most("p99 of what was accepted: the budget", max(one.latency("p99") for one in found), budget, " ms"),
        at_most("requests without an answer", sum(one.silent for one in found), 0),
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
