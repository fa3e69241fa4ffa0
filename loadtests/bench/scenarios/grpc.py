"""What one row costs over gRPC and as raw tensors over REST, beside a bare gRPC server with the same model."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from loadtests.bench.bodies import binary_body, read_tensors
from loadtests.bench.contenders import ONE_THREAD, REPORTS, Contender
from loadtests.bench.findings import at_most, median_ratio
from loadtests.bench.grpc_bodies import GENERATOR, METHOD, GrpcContender, infer_messages
from loadtests.bench.measure import measure_in_turns, medians
from loadtests.bench.models import STRINGS
from loadtests.bench.report import SERVER_HEAD, Section, server_row
from loadtests.bench.stage import Served, Stage
from loadtests.rows import unit_names
from loadtests.servers import Server, free_port, running

OF_BARE, IN_FLIGHT = 1.3, 16
SHORTER: Final = 2
"""Rounds are that much shorter and as many more: gRPC's threads and the client's share two cores, and what a call
costs wanders by a fifth within seconds, for all servers alike."""

OURS, BARE = "**FairMind Serving**, gRPC `ModelInfer`", "bare `grpc.aio` on uvloop; compiled model"
OURS_BINARY = "**FairMind Serving**, `POST /v2/…/infer`, raw tensors"


def run(stage: Stage) -> list[Section]:
    """Measure one row per call."""
    with ExitStack() as stack:
        served = stack.enter_context(stage.serving([STRINGS]))
        peer = stack.enter_context(_bare(served.folder(STRINGS)))
        persons = served.persons(STRINGS)
        messages = infer_messages(served.inputs(STRINGS), persons, unit_names(len(persons)))
        # The bare server is sent the same key, and does not look at it.
        key = {"Authorization": served.headers["Authorization"]}
        ours, bare = (
            GrpcContender(title, server, METHOD, messages, headers=key, port=server.grpc_port, generator=GENERATOR)
            for title, server in ((OURS, served.server), (BARE, peer))
        )
        contenders = [bare, ours, _binary(served)]
        stage.require_same(served.predict(STRINGS), contenders)
        runs = measure_in_turns(
            contenders,
            repeats=stage.effort.repeats * SHORTER,
            connections=IN_FLIGHT,
            seconds=stage.effort.seconds / SHORTER,
            progress=stage.say,
        )
    rows = [server_row(who.title, medians(each)) for who, each in zip(contenders, runs, strict=True)]
    cpu = [[one.cpu_answering for one in each] for each in runs]
    finding = at_most(
        "CPU of one row over gRPC, beside the bare server", median_ratio(cpu[1], cpu[0]), OF_BARE, " ×"
    )
    raw = [
        {"server": who.title, "runs": [asdict(one) for one in each]}
        for who, each in zip(contenders, runs, strict=True)
    ]
    notes = (
        f"{IN_FLIGHT} calls in flight, over 4 gRPC channels or as many HTTP connections as calls; "
        f"{len(runs[0])} rounds of {stage.effort.seconds / SHORTER:g} s.",
    )
    return [Section("One row per gRPC call", SERVER_HEAD, rows, [finding], notes, raw=raw)]


def _binary(served: Served) -> Contender:
    """Return the service asked with raw tensors over REST, each head padded so that one header fits all bodies."""
    persons = served.persons(STRINGS)
    inputs, units = served.inputs(STRINGS), unit_names(len(persons))
    made = [binary_body(inputs, [person], unit) for person, unit in zip(persons, units, strict=True)]
    lengths = [int(headers["Inference-Header-Content-Length"]) for _, headers in made]
    longest = max(lengths)
    bodies = tuple(
        body[:length].replace(b'"binary_data_output":true', b'"binary_data_output":null').ljust(longest)
        + body[length:]
        for (body, _), length in zip(made, lengths, strict=True)
    )
    headers = made[0][1] | {"Inference-Header-Content-Length": str(longest)}
    return replace(served.infer(STRINGS), title=OURS_BINARY, bodies=bodies, headers=headers, read=read_tensors)


@contextlib.contextmanager
def _bare(model_folder: Path) -> Iterator[Server]:
    http_port, grpc_port = free_port(), free_port()
    with running(
        "grpc-floor",
        [sys.executable, "-m", "loadtests.bench.peers.grpc_floor", str(http_port), str(grpc_port)],
        port=http_port,
        ready_path="/",
        log=REPORTS / "bench-grpc-floor.log",
        environment={"BENCH_MODEL_FOLDER": str(model_folder), **ONE_THREAD},
        grpc_port=grpc_port,
    ) as server:
        yield server
