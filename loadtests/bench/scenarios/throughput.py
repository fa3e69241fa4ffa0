"""Requests per second of one worker beside every peer, for three classes of model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

import httpx

from loadtests.bench.contenders import NATIVE, OWN_PEERS, Contender, own_peer
from loadtests.bench.findings import Finding, at_least, median_ratio, not_measured
from loadtests.bench.installed_peers import INSTALLED_PEERS, installed_peer
from loadtests.bench.measure import measure_in_turns, medians
from loadtests.bench.models import BOOSTING, CLASSES, LINEAR, STRINGS, BenchModel
from loadtests.bench.report import SERVER_HEAD, Section, server_row
from loadtests.bench.stage import Served, Stage
from loadtests.errors import LoadTestError
from loadtests.rows import unit_names

TARGETS: Final[Mapping[str, Mapping[str, float]]] = {
    STRINGS.name: {
        NATIVE: 10.0,
        "mlflow": 20.0,
        "mlserver": 20.0,
        "litserve": 10.0,
        "litserve-batched": 5.0,
        "ray": 10.0,
        "ray-batched": 5.0,
        "bentoml-batched": 5.0,
    },
    BOOSTING.name: {NATIVE: 3.0},
    LINEAR.name: {NATIVE: 2.0},
}
"""How many times a peer's requests per second ours are to be, by class of model."""

SAME_BODIES: Final = 64


def run(stage: Stage) -> list[Section]:
    """Measure each class of model beside each peer, in pairs."""
    with stage.serving(CLASSES) as served:
        return [_section(stage, served, model) for model in CLASSES]


def _section(stage: Stage, served: Served, model: BenchModel) -> Section:
    ours = served.predict(model)
    rows: list[list[str]] = []
    findings: list[Finding] = []
    notes: list[str] = []
    raw: list[Any] = []
    for name, title in _titles(stage).items():
        target = TARGETS[model.name].get(name)
        figure = f"requests/s beside {title}"
        try:
            with _peer(stage, served, model, name) as peer:
                stage.require_same(ours, [peer], bodies=SAME_BODIES)
                own, theirs = measure_in_turns(
                    [ours, peer],
                    repeats=stage.effort.repeats,
                    connections=stage.effort.connections,
                    seconds=stage.effort.seconds,
                    progress=stage.say,
                )
        except (LoadTestError, httpx.HTTPError) as error:
            stage.say(f"NOT MEASURED: {title}: {error}")
            notes.append(f"**{title} was not measured**: {error}")
            if target is not None:
                findings.append(not_measured(figure, f"≥ {target:g} ×", "no figure, see below"))
            continue
        ratio = median_ratio([one.requests_per_second for one in own], [one.requests_per_second for one in theirs])
        rows.append([*server_row(title, medians(theirs)), f"{ratio:,.1f} ×"])
        raw.append({"server": name, "ours": list(map(asdict, own)), "theirs": list(map(asdict, theirs))})
        if target is not None:
            findings.append(at_least(figure, ratio, target, " ×"))
        rows_of_ours = server_row(ours.title, medians(own))
        if not any(row[0] == ours.title for row in rows):
            rows.insert(0, [*rows_of_ours, "1 ×"])
    notes.append(
        "The last column is FairMind Serving's requests/s beside the server's, the median over pairs of rounds."
    )
    return Section(
        f"Requests per second: {model.title}", (*SERVER_HEAD, "ours beside it"), rows, findings, notes, raw
    )


def _titles(stage: Stage) -> dict[str, str]:
    titles = {name: title for name, (title, _) in OWN_PEERS.items()}
    return titles | ({peer.name: peer.title for peer in INSTALLED_PEERS} if stage.with_peers else {})


@contextlib.contextmanager
def _peer(stage: Stage, served: Served, model: BenchModel, name: str) -> Iterator[Contender]:
    folder = served.folder(model)
    if name in OWN_PEERS:
        with own_peer(name, folder) as server:
            yield Contender(OWN_PEERS[name][0], server, "/predict", served.predict(model).bodies)
        return
    (peer,) = (peer for peer in INSTALLED_PEERS if peer.name == name)
    persons = served.persons(model)
    with installed_peer(
        peer,
        folder,
        stage.pipeline(served, model),
        stage.scratch,
        inputs=served.inputs(model),
        persons=persons,
        units=unit_names(len(persons)),
        say=stage.say,
    ) as contender:
        yield contender
