"""What one request costs the server, beside the floor and beside FastAPI with the same compiled model."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from dataclasses import asdict

from loadtests.bench.contenders import COMPILED, FLOOR, NATIVE, OWN_PEERS, Contender, own_peer
from loadtests.bench.findings import Finding, at_most, median_ratio
from loadtests.bench.measure import Measured, measure_in_turns, medians
from loadtests.bench.models import STRINGS
from loadtests.bench.report import SERVER_HEAD, Section, server_row
from loadtests.bench.stage import Served, Stage

OF_FLOOR, OF_COMPILED = 1.5, 0.7
MANY_ROWS = 64


def run(stage: Stage) -> list[Section]:
    """Measure one row per request, and 64."""
    with ExitStack() as stack:
        served = stack.enter_context(stage.serving([STRINGS]))
        ours = [served.predict(STRINGS), served.infer(STRINGS)]
        peers = [
            Contender(
                title,
                stack.enter_context(own_peer(name, served.folder(STRINGS))),
                "/predict",
                ours[0].bodies,
            )
            for name, (title, _) in OWN_PEERS.items()
        ]
        stage.require_same(ours[0], [ours[1], *peers], bodies=256)
        sections = [_section(stage, "One row per request", [*ours, *peers], judged=True)]
        many = _with_rows(served, peers)
        sections.append(_section(stage, f"{MANY_ROWS} rows per request", many, judged=False))
    return sections


def _with_rows(served: Served, peers: list[Contender]) -> list[Contender]:
    predict, infer = served.predict(STRINGS, MANY_ROWS), served.infer(STRINGS, MANY_ROWS)
    return [predict, infer, *(dataclasses.replace(peer, bodies=predict.bodies) for peer in peers)]


def _section(stage: Stage, title: str, contenders: list[Contender], *, judged: bool) -> Section:
    effort = stage.effort
    runs = measure_in_turns(
        contenders,
        repeats=effort.repeats,
        connections=effort.connections,
        seconds=effort.seconds,
        progress=stage.say,
    )
    rows = [server_row(who.title, medians(each)) for who, each in zip(contenders, runs, strict=True)]
    raw = [
        {"server": who.server.name, "path": who.path, "runs": [asdict(one) for one in each]}
        for who, each in zip(contenders, runs, strict=True)
    ]
    return Section(title, SERVER_HEAD, rows, _findings(contenders, runs) if judged else (), raw=raw)


def _findings(contenders: list[Contender], runs: list[list[Measured]]) -> list[Finding]:
    cpu = {
        (who.server.name, who.path): [one.cpu_answering for one in each]
        for who, each in zip(contenders, runs, strict=True)
    }
    floor, compiled = cpu[FLOOR, "/predict"], cpu[COMPILED, "/predict"]
    findings = []
    for who in contenders:
        if who.server.name in {FLOOR, COMPILED, NATIVE}:
            continue
        own = cpu[who.server.name, who.path]
        route = "`/predict`" if who.path == "/predict" else "Open Inference Protocol"
        findings.append(
            at_most(f"CPU of one row, {route}, beside the floor", median_ratio(own, floor), OF_FLOOR, " ×")
        )
        findings.append(
            at_most(
                f"CPU of one row, {route}, beside FastAPI + compiled",
                median_ratio(own, compiled),
                OF_COMPILED,
                " ×",
            )
        )
    return findings
