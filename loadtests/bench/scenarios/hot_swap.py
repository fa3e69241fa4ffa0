"""A new champion every two seconds under full load."""

from __future__ import annotations

import time
from itertools import cycle
from typing import Final

import httpx

from loadtests.bench.beside import Beside
from loadtests.bench.findings import Finding, at_least, at_most
from loadtests.bench.measure import Load, load
from loadtests.bench.models import STRINGS, trained_versions
from loadtests.bench.report import Section
from loadtests.bench.stage import Served, Stage

EVERY_SECONDS: Final = 2.0
TAIL: Final = 2.0
_REASON: Final = {"override": "the benchmark swaps versions"}


class Swap:
    """Promotes the other version, each time it is called."""

    def __init__(self, served: Served, versions: list[str]) -> None:
        self.current = versions[0]
        self._url, self._versions = f"{served.server.url}/api/v1/rollouts", cycle(versions)
        next(self._versions)  # the one that is the champion already

    def __call__(self, client: httpx.Client) -> None:
        """Promote it, and wait until that is done."""
        version = next(self._versions)
        plan = {"model": STRINGS.name, "challenger": version, "steps": [{"weight": 0.0}]}
        started = client.post(self._url, json=plan, params=_REASON).raise_for_status().json()
        client.post(f"{self._url}/{started['id']}/promote", json=_REASON).raise_for_status()
        self.current = version


def run(stage: Stage) -> list[Section]:
    """Measure without and with swaps."""
    effort = stage.effort
    with stage.serving([STRINGS]) as served:
        ours = served.predict(STRINGS)
        load(ours, connections=effort.connections, seconds=effort.seconds)
        stage.say("steady, then with a swap every 2 s")
        before = load(ours, connections=effort.connections, seconds=effort.long_seconds / 2)
        swap = Swap(served, trained_versions(stage.home, STRINGS))
        with Beside(swap, EVERY_SECONDS) as swaps:
            swapped = load(ours, connections=effort.connections, seconds=2 * effort.long_seconds)
        after = load(ours, connections=effort.connections, seconds=effort.long_seconds / 2)
        follows = _serves(served, swap.current)
    steady = (before.latency("p99") + after.latency("p99")) / 2
    # A swap is two calls of the control API beside full load, and takes time of its own beside the pause.
    wanted = int(2 * effort.long_seconds / EVERY_SECONDS / 2)
    findings = [
        at_most("failed requests during swaps", swapped.answer["failures"], 0),
        at_most("p99 during swaps, beside steady", swapped.latency("p99") / steady, TAIL, " ×"),
        at_least("swaps made", swaps.done, wanted),
        Finding("after the last swap", f"version {swap.current}", f"version {follows}", follows == swap.current),
    ]
    rows = [_row("steady, before", before), _row(f"{swaps.done} swaps", swapped), _row("steady, after", after)]
    head = ("", "requests/s", "p50 ms", "p99 ms", "largest ms", "failed")
    notes = [f"{len(swaps.problems)} swaps were refused: {swaps.problems[0]}"] if swaps.problems else []
    raw = [one.answer for one in (before, swapped, after)]
    return [Section("A new champion every 2 s under full load", head, rows, findings, notes, raw)]


def _serves(served: Served, version: str) -> str:
    """Return the champion that the worker serves, waiting up to ten seconds for it to be `version`."""
    give_up = time.monotonic() + 10.0
    while True:
        answer = httpx.get(f"{served.server.url}/readyz", timeout=30.0, trust_env=False).json()
        champion = str(answer["models"][STRINGS.name]["champion"])
        if champion == version or time.monotonic() > give_up:
            return champion
        time.sleep(0.2)


def _row(title: str, found: Load) -> list[str]:
    return [
        title,
        f"{found.served / found.answer['seconds']:,.0f}",
        f"{found.latency('p50'):.1f}",
        f"{found.latency('p99'):.1f}",
        f"{found.latency('largest'):.1f}",
        f"{found.answer['failures']}",
    ]
