"""The batch queue beside BentoML's own dispatcher, before the same compiled model."""

from __future__ import annotations

from dataclasses import asdict

from loadtests.bench.findings import median_ratio
from loadtests.bench.installed_peers import DISPATCHER, installed_peer
from loadtests.bench.measure import Measured, measure_in_turns, medians
from loadtests.bench.models import STRINGS
from loadtests.bench.report import SERVER_HEAD, Section, server_row
from loadtests.bench.stage import Stage
from loadtests.rows import unit_names


def run(stage: Stage) -> list[Section]:
    """Measure both in turns."""
    effort = stage.effort
    with stage.serving([STRINGS]) as served:
        ours = served.predict(STRINGS)
        persons = served.persons(STRINGS)
        with installed_peer(
            DISPATCHER,
            served.folder(STRINGS),
            served.folder(STRINGS),
            stage.scratch,
            inputs=served.inputs(STRINGS),
            persons=persons,
            units=unit_names(len(persons)),
            say=stage.say,
        ) as peer:
            stage.require_same(ours, [peer])
            own, theirs = measure_in_turns(
                [ours, peer],
                repeats=effort.repeats,
                connections=effort.connections,
                seconds=effort.seconds,
                progress=stage.say,
            )
    rows = [[*server_row(who.title, medians(each)), _refused(each)] for who, each in ((ours, own), (peer, theirs))]
    more = median_ratio([one.requests_per_second for one in own], [one.requests_per_second for one in theirs])
    less = median_ratio([one.cpu_answering for one in own], [one.cpu_answering for one in theirs])
    notes = [
        f"FairMind Serving answers {more:.1f} times the requests at {less:.2f} of the CPU per request.",
        "BentoML's tracing, access log and metrics are off, and its latency bound is the one of our queue (1 s). "
        "What is refused costs little CPU, so CPU per request flatters a server that refuses.",
    ]
    head = (*SERVER_HEAD, "refused")
    raw = {"ours": list(map(asdict, own)), "theirs": list(map(asdict, theirs))}
    return [Section("The batch queue beside BentoML's own dispatcher", head, rows, (), notes, raw)]


def _refused(runs: list[Measured]) -> str:
    return f"{sum(one.failures for one in runs) / sum(one.requests for one in runs):.0%}"
