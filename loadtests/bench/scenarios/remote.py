"""What a remote variant costs: a server called directly, and the same calls through the service."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import httpx

from loadtests.bench.client import JSON_TYPE
from loadtests.bench.contenders import ONE_THREAD, REPORTS, Contender
from loadtests.bench.findings import Finding, at_most, not_measured
from loadtests.bench.installed_peers import INSTALLED_PEERS, installed_peer
from loadtests.bench.measure import Measured, measure_in_turns, medians
from loadtests.bench.models import STRINGS
from loadtests.bench.report import SERVER_HEAD, Section, server_row
from loadtests.bench.stage import Served, Stage
from loadtests.errors import ServerFailedError
from loadtests.rows import unit_names
from loadtests.servers import free_port, running

ADDED_MILLISECONDS: Final = 0.5
CONNECTIONS: Final = 16
WAIT_MILLISECONDS: Final = 10
KEY_VARIABLE: Final = "BENCH_REMOTE_KEY"
"""The variable that holds the key of the instance that is called."""
_PROGRAMS: Final = Path(sys.executable).parent
_PATIENCE_SECONDS: Final = 120.0

Pair = tuple[Contender, Contender]
"""The same people asked about directly and through the service."""


def run(stage: Stage) -> list[Section]:
    """Measure one row per call, of three servers."""
    with ExitStack() as stack:
        theirs = stack.enter_context(stage.serving([STRINGS]))
        ours = stack.enter_context(stage.serving([STRINGS], settings={KEY_VARIABLE: theirs.key}))
        pairs = [stack.enter_context(_waiting(theirs, ours)), _own(theirs, ours)]
        if stage.with_peers:
            pairs.append(stack.enter_context(_mlflow(stage, ours)))
        stage.require_same(pairs[1][0], [pairs[1][1]])
        runs = [_measured(stage, pair) for pair in pairs]
    rows = [
        server_row(who.title, medians(each))
        for pair, found in zip(pairs, runs, strict=True)
        for who, each in zip(pair, found, strict=True)
    ]
    raw = [
        {"server": who.title, "runs": [asdict(one) for one in each]}
        for pair, found in zip(pairs, runs, strict=True)
        for who, each in zip(pair, found, strict=True)
    ]
    notes = (
        f"{CONNECTIONS} connections, each with its next request as soon as it is answered; one row each.",
        "The first server only waits, so that what is added is not somebody's queue. The others keep a core busy: "
        "there, calls wait for each other, directly and through the service.",
    )
    return [Section("A remote variant", SERVER_HEAD, rows, [_finding(runs[0])], notes, raw)]


def _measured(stage: Stage, pair: Pair) -> list[list[Measured]]:
    effort = stage.effort
    return measure_in_turns(
        pair, repeats=effort.repeats, connections=CONNECTIONS, seconds=effort.seconds, progress=stage.say
    )


def _finding(runs: list[list[Measured]]) -> Finding:
    direct, through = runs
    figure = "p50 that a remote variant adds to calling its server"
    if any(one.failures for one in (*direct, *through)):
        return not_measured(figure, f"≤ {ADDED_MILLISECONDS} ms", "calls failed")
    added = statistics.median(one.p50 - other.p50 for other, one in zip(direct, through, strict=True))
    return at_most(figure, added, ADDED_MILLISECONDS, " ms")


@contextlib.contextmanager
def _waiting(theirs: Served, ours: Served) -> Iterator[Pair]:
    """Yield a server that does nothing but wait, called with the bodies that our own server takes."""
    described = httpx.get(
        f"{theirs.server.url}/v2/models/{STRINGS.name}", headers=dict(theirs.headers), trust_env=False
    )
    port = free_port()
    command = [str(_PROGRAMS / "uvicorn"), "loadtests.bench.peers.waiting:app", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    environment = {**ONE_THREAD, "BENCH_WAIT_MS": str(WAIT_MILLISECONDS), "BENCH_METADATA": described.text}
    log = REPORTS / "bench-waiting.log"
    with running("waiting", command, port=port, ready_path="/v2", log=log, environment=environment) as server:
        name = f"a model that takes {WAIT_MILLISECONDS} ms"
        direct = replace(theirs.infer(STRINGS), title=f"{name}, directly", server=server, headers=JSON_TYPE)
        yield direct, _through(ours, name, direct, "--protocol", "oip", "--remote-model", STRINGS.name)


def _own(theirs: Served, ours: Served) -> Pair:
    """Return another instance of the service, called by its Open Inference Protocol."""
    name = "FairMind Serving"
    direct = replace(theirs.infer(STRINGS), title=f"{name}, directly")
    options = ("--protocol", "oip", "--remote-model", STRINGS.name, "--token-env", KEY_VARIABLE)
    return direct, _through(ours, name, direct, *options, token=theirs.key)


@contextlib.contextmanager
def _mlflow(stage: Stage, ours: Served) -> Iterator[Pair]:
    """Yield `mlflow models serve`, called by its scoring protocol."""
    peer = next(one for one in INSTALLED_PEERS if one.name == "mlflow")
    persons = ours.persons(STRINGS)
    with installed_peer(
        peer,
        ours.folder(STRINGS),
        stage.pipeline(ours, STRINGS),
        stage.scratch,
        inputs=ours.inputs(STRINGS),
        persons=persons,
        units=unit_names(len(persons)),
        say=stage.say,
    ) as server:
        direct = replace(server, title=f"{peer.title}, directly")
        yield direct, _through(ours, peer.title, direct, "--protocol", "mlflow")


def _through(ours: Served, name: str, direct: Contender, *options: str, token: str = "") -> Contender:
    """Add a server as the champion of a model of its own, and return the service asked about that model.

    Raises:
        ServerFailedError: It is not served in time.
    """
    model = f"remote-{direct.server.name}"
    command = [str(_PROGRAMS / "fairmind"), "variants", "add", model, direct.server.url, *options, "--json"]
    command += ["--signature", f"{STRINGS.name}/{ours.versions[STRINGS.name]}", "--alias", "champion"]
    environment = {**os.environ, "FAIRMIND_HOME": str(ours.home), KEY_VARIABLE: token}
    subprocess.run(command, env=environment, check=True, capture_output=True, text=True)  # noqa: S603 - our own command
    ready = f"{ours.server.url}/v2/models/{model}/ready"
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while httpx.get(ready, headers=dict(ours.headers), trust_env=False).status_code != httpx.codes.OK:
        if time.monotonic() > give_up:
            raise ServerFailedError(ours.server.name, f"does not serve {model}", REPORTS / "bench-fairmind.log")
        time.sleep(0.2)
    asked = ours.infer(STRINGS)
    return replace(asked, title=f"{name}, through **FairMind Serving**", path=f"/v2/models/{model}/infer")
