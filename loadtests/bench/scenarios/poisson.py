"""Tail latency at 70 % of the peak, with the arrivals of many strangers."""

from __future__ import annotations

import statistics

from loadtests.bench.findings import at_most
from loadtests.bench.measure import load, measure
from loadtests.bench.models import STRINGS
from loadtests.bench.report import Section
from loadtests.bench.stage import Stage

SHARE_OF_PEAK, TAIL = 0.7, 8.0
ROUNDS = 3


def run(stage: Stage) -> list[Section]:
    """Measure the peak in a closed loop and, at 70 % of it, the latencies of Poisson arrivals, in turns."""
    effort = stage.effort
    rows, ratios, raw = [], [], []
    with stage.serving([STRINGS]) as served:
        ours = served.predict(STRINGS)
        measure(ours, connections=effort.connections, seconds=effort.seconds)
        for number in range(ROUNDS):
            stage.say(f"round {number + 1} of {ROUNDS}: peak, then Poisson arrivals at {SHARE_OF_PEAK:.0%} of it")
            peak = measure(ours, connections=effort.connections, seconds=effort.seconds).requests_per_second
            open_seconds = max(effort.seconds, effort.long_seconds / ROUNDS)
            # With connections at hand, as keep-alive clients have them: making them is not what is asked here.
            at_hand = 4 * effort.connections
            found = load(ours, connections=at_hand, seconds=open_seconds, rate=SHARE_OF_PEAK * peak, seed=number)
            median, tail = found.latency("p50"), found.latency("p99")
            ratios.append(tail / median)
            lag = 1e3 * found.answer["lag"]["p99"]
            rows.append(
                [
                    f"{number + 1}",
                    f"{peak:,.0f}",
                    f"{found.served / open_seconds:,.0f}",
                    f"{median:.2f}",
                    f"{tail:.2f}",
                    f"{tail / median:.1f}",
                    f"{lag:.2f}",
                    f"{found.answer['failures']}",
                ]
            )
            raw.append({"peak": peak, "open": found.answer})
    head = ("round", "peak/s", "served/s", "p50 ms", "p99 ms", "p99/p50", "client's own p99 lag ms", "failed")
    finding = at_most(f"p99 at {SHARE_OF_PEAK:.0%} of peak, beside p50", statistics.median(ratios), TAIL, " ×")
    return [Section("Poisson arrivals at 70 % of the peak", head, rows, [finding], raw=raw)]
