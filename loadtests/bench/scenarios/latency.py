"""What the batch queue adds to a lone request."""

from __future__ import annotations

from loadtests.bench.findings import at_most
from loadtests.bench.in_process import runtime_costs
from loadtests.bench.models import CLASSES
from loadtests.bench.report import Section
from loadtests.bench.stage import Stage

ADDED_MILLISECONDS = 0.1


def run(stage: Stage) -> list[Section]:
    """Time a one-row call directly and through the batch queue, in one event loop."""
    findings, rows, raw = [], [], {}
    with stage.serving(CLASSES) as served:
        for model in CLASSES:
            stage.say(f"timing {model.name} in process")
            features = [person.features for person in served.persons(model, 64)]
            costs = runtime_costs(served.folder(model), features, stage.scratch)
            raw[model.name] = costs
            added = 1e3 * (costs["batched"] - costs["direct"])
            rows.append([model.title, f"{1e6 * costs['direct']:.1f}", f"{1e6 * costs['batched']:.1f}"])
            findings.append(at_most(f"p50 added by batching, {model.name}", added, ADDED_MILLISECONDS, " ms"))
    head = ("model", "runtime called directly, µs", "through the batch queue, µs")
    return [Section("One connection: what batching adds", head, rows, findings, raw=raw)]
