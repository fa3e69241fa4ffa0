"""What assigning units to variants, and logging who is exposed to which, costs a worker per request."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import httpx

from loadtests.bench.bodies import Bodies, predict_bodies
from loadtests.bench.contenders import REPORTS, Contender
from loadtests.bench.findings import Finding, at_most, median_ratio
from loadtests.bench.measure import measure
from loadtests.bench.models import STRINGS, trained_versions
from loadtests.bench.report import Section
from loadtests.bench.stage import Served, Stage
from loadtests.errors import ServerFailedError
from loadtests.rows import unit_names

LIMIT: Final = 1.05
COPY: Final = f"{STRINGS.name}-copy-000"


@dataclass(frozen=True, slots=True)
class Traffic:
    """How requests are spread: by a rollout's `weight`, or by the caller, who sends a share to another model."""

    title: str
    weight: float = 0.0
    share: float = 0.0


ALONE: Final = Traffic("no rollout: one version answers all")
CALLERS: Final[Mapping[float, Traffic]] = {
    share: Traffic(f"no rollout: {share:.0%} are sent to another model", share=share) for share in (0.1, 0.5)
}
ROLLOUTS: Final[Mapping[float, Traffic]] = {
    0.1: Traffic("a rollout of 10 %: a fifth is compared", weight=0.1),
    0.5: Traffic("a rollout of 50 %: all are compared", weight=0.5),
}
PLAYED: Final = (ALONE, *chain.from_iterable(zip(CALLERS.values(), ROLLOUTS.values(), strict=True)))

ROWS: Final = 10
ONE_ROW, ONE_UNIT, MANY_UNITS = "one row", f"{ROWS} rows of one unit", f"{ROWS} rows of {ROWS} units"
JUDGED: Final = (ONE_ROW, ONE_UNIT)

ROUNDS: Final = 3
"""Rounds are half as long as elsewhere, and so many times as many: what a request costs wanders within seconds."""

_FOLLOW_SECONDS: Final = 20.0
_REASON: Final = {"override": "the benchmark splits traffic"}

Costs = Mapping[str, Mapping[Traffic, Sequence[float]]]
"""CPU microseconds per request in each round, by what a request holds and by how requests are spread."""


def run(stage: Stage) -> list[Section]:
    """Change the weight of one rollout again and again, and send the same rows each time."""
    rounds, seconds = ROUNDS * stage.effort.repeats, stage.effort.seconds / 2
    costs: dict[str, dict[Traffic, list[float]]] = {}
    with (
        stage.serving([STRINGS], copies=1) as served,
        httpx.Client(timeout=30.0, trust_env=False) as client,
    ):
        split = Split(client, served, trained_versions(stage.home, STRINGS)[1])
        sent = {traffic: _sent(served, traffic.share) for traffic in PLAYED}
        for number in range(rounds + 1):  # the first one warms up
            stage.say(f"round {number} of {rounds}")
            for traffic, contenders in sent.items():
                split.to(traffic.weight)
                for name, contender in contenders.items():
                    found = measure(contender, connections=stage.effort.connections, seconds=seconds)
                    if number:
                        costs.setdefault(name, {}).setdefault(traffic, []).append(found.cpu_answering)
    return [section_of(costs, f"{rounds} rounds of {seconds:g} s")]


class Split:
    """A rollout by hand, whose weight can be changed."""

    def __init__(self, client: httpx.Client, served: Served, challenger: str) -> None:
        self._client, self._url = client, served.server.url
        plan = {"model": STRINGS.name, "challenger": challenger, "steps": [{"weight": 0.0}]}
        started = client.post(f"{self._url}/api/v1/rollouts", json=plan, params=_REASON).raise_for_status()
        self._rollout = f"{self._url}/api/v1/rollouts/{started.json()['id']}"

    def to(self, weight: float) -> None:
        """Give the challenger a share of the units, and wait until the worker follows.

        Raises:
            ServerFailedError: It does not.
        """
        self._client.post(f"{self._rollout}/weight", json={"weight": weight}).raise_for_status()
        give_up = time.monotonic() + _FOLLOW_SECONDS
        while not self._follows(weight):
            if time.monotonic() > give_up:
                problem = f"did not follow a weight of {weight:g} within {_FOLLOW_SECONDS:.0f} s"
                raise ServerFailedError("fairmind", problem, REPORTS / "bench-fairmind.log")
            time.sleep(0.1)

    def _follows(self, weight: float) -> bool:
        model = self._client.get(f"{self._url}/readyz").raise_for_status().json()["models"][STRINGS.name]
        return model["challenger"] is not None and bool(model["weight"] == weight)


def section_of(costs: Costs, effort: str) -> Section:
    """Return the section of what was measured."""
    rows = [
        [name, traffic.title, f"{statistics.median(each):,.1f}", f"{median_ratio(each, by_traffic[ALONE]):.3f} ×"]
        for name, by_traffic in costs.items()
        for traffic, each in by_traffic.items()
    ]
    notes = [
        f"One service, {effort} in turns; between them a rollout without guardrails changes its weight, 0 where "
        "there is none. All rows have a unit, whose hash is in the log in any case.",
        "Where two versions answer, each decodes and scores batches of its own, whoever spreads the requests: the "
        "targets are for what the rollout adds. Beside one version that answers all, see the last column.",
        f"{MANY_UNITS.capitalize()} are split within the request: decoded, scored and logged in two parts.",
    ]
    head = ("request", "traffic", "CPU, µs per request", "beside one version")
    raw = [
        {"request": name, "traffic": traffic.title, "cpu": each}
        for name, by_traffic in costs.items()
        for traffic, each in by_traffic.items()
    ]
    return Section("Assignment and exposure", head, rows, findings_of(costs), notes, raw)


def findings_of(costs: Costs) -> list[Finding]:
    """Return the targets and what became of them."""
    return [
        at_most(
            f"CPU of {name} in {rollout.title.partition(':')[0]}, beside the same spread without",
            median_ratio(costs[name][rollout], costs[name][CALLERS[share]]),
            LIMIT,
            " ×",
        )
        for name in JUDGED
        for share, rollout in ROLLOUTS.items()
    ]


def _sent(served: Served, share: float) -> dict[str, Contender]:
    """Return the service, asked in each of the ways, with a share of the requests sent to the copy."""
    persons = served.persons(STRINGS)
    own = unit_names(len(persons))
    shared = [unit for unit in unit_names(len(persons) // ROWS + 1) for _ in range(ROWS)][: len(persons)]
    asked = {ONE_ROW: (own, 1), ONE_UNIT: (shared, ROWS)}
    if not share:
        asked[MANY_UNITS] = (own, ROWS)
    contender = served.predict(STRINGS)
    sent = {}
    for name, (units, rows) in asked.items():
        ours, others = (predict_bodies(model, persons, units, rows) for model in (STRINGS.name, COPY))
        sent[name] = replace(contender, bodies=_spread(ours, others, share))
    return sent


def _spread(ours: Bodies, others: Bodies, share: float) -> Bodies:
    """Return bodies of which a share is the others', evenly in between."""
    return tuple(
        other if int((number + 1) * share) > int(number * share) else our
        for number, (our, other) in enumerate(zip(ours, others, strict=True))
    )
