"""`make bench`: the service beside its peers, into docs/benchmarks.md and reports/bench.json."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from loadtests.bench.contenders import PEERS, REPORTS, Contender, champion_units, infer_bodies, peer, predict_bodies
from loadtests.bench.machine import describe_libraries, describe_machine
from loadtests.bench.measure import Measured, measure_in_turns, medians, require_same_answers
from loadtests.bench.report import Conditions, Table, markdown_page, markdown_table
from loadtests.errors import HomeMissingError, LoadTestError
from loadtests.homes import MODEL, copy_home, default_home, ensure_demo_home
from loadtests.rows import Inputs, Person, people, served_inputs, unit_names
from loadtests.servers import Server, fairmind

PAGE = Path("docs/benchmarks.md")
PERSONS = 1_024


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and return its exit status."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short rounds of one row; prints, writes no page")
    parser.add_argument("--home", type=Path, default=default_home(), help="home whose champion is served")
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args(arguments)
    try:
        ensure_demo_home(options.home)
        with tempfile.TemporaryDirectory(prefix="fairmind-bench-") as folder:
            _bench(options.home, Path(folder), connections=options.connections, quick=options.quick)
    except LoadTestError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"bench: {error.cmd[0]} failed with status {error.returncode}: {error.stderr}", file=sys.stderr)
        return 1
    return 0


def _bench(home: Path, scratch: Path, *, connections: int, quick: bool) -> None:
    repeats, seconds, sizes = (2, 1.0, [1]) if quick else (7, 4.0, [1, 64])
    with ExitStack() as stack:
        _say("starting fairmind")
        copy = copy_home(home, scratch / "home")
        service = stack.enter_context(fairmind(copy, workers=1, log=REPORTS / "bench-fairmind.log"))
        inputs = served_inputs(service.url, MODEL)
        persons = people(home.absolute() / "data", inputs, PERSONS)
        units, version = champion_units(service.url, persons[0], unit_names(3 * PERSONS))
        folder = _version_folder(copy, version)
        servers = {service.name: service}
        for name in PEERS:
            _say(f"starting {name}")
            servers[name] = stack.enter_context(peer(name, folder))
        tables: list[Table] = []
        runs: list[dict[str, object]] = []
        compared = 0
        for rows in sizes:
            contenders = _contenders(servers, inputs, persons, units, rows)
            compared += require_same_answers(contenders[0], contenders[2:], bodies=max(1, 256 // rows))
            measured = measure_in_turns(
                contenders, repeats=repeats, connections=connections, seconds=seconds, progress=_say
            )
            tables.append(_table(contenders, measured, rows))
            runs += [_record(contender, rows, each) for contender, each in zip(contenders, measured, strict=True)]
    conditions = Conditions(
        day=datetime.now(UTC).date().isoformat(),
        model_version=version,
        columns=len(inputs.datatypes),
        connections=connections,
        repeats=repeats,
        seconds=seconds,
        compared=compared,
        machine=describe_machine(),
        libraries=describe_libraries(),
    )
    _write(tables, runs, conditions, quick=quick)


def _contenders(
    servers: dict[str, Server], inputs: Inputs, persons: list[Person], units: list[str], rows: int
) -> list[Contender]:
    # Units are repeated when the champion has fewer than there are people.
    names = (units * (len(persons) // len(units) + 1))[: len(persons)]
    bodies = predict_bodies(persons, names, rows)
    tensors = infer_bodies(inputs, persons, names, rows)
    service = servers["fairmind"]
    return [
        Contender("**FairMind Serving**, `POST /predict`", service, "/predict", bodies),
        Contender("**FairMind Serving**, `POST /v2/…/infer`", service, f"/v2/models/{MODEL}/infer", tensors),
        *(Contender(title, servers[name], "/predict", bodies) for name, (title, _) in PEERS.items()),
    ]


def _version_folder(home: Path, version: str) -> Path:
    found = sorted((home / "models" / MODEL).glob(f"{version}-*"))
    if not found:
        raise HomeMissingError(home, f"copy of version {version}")
    return found[-1]


def _table(contenders: list[Contender], measured: list[list[Measured]], rows: int) -> Table:
    titles = [contender.title for contender in contenders]
    return Table(rows, list(zip(titles, map(medians, measured), strict=True)))


def _record(contender: Contender, rows: int, measured: list[Measured]) -> dict[str, object]:
    return {
        "server": contender.server.name,
        "path": contender.path,
        "rows_per_request": rows,
        "runs": [asdict(run) for run in measured],
    }


def _write(tables: list[Table], runs: list[dict[str, object]], conditions: Conditions, *, quick: bool) -> None:
    REPORTS.mkdir(exist_ok=True)
    result = {"conditions": asdict(conditions), "results": runs}
    (REPORTS / "bench.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for table in tables:
        print(f"\n{table.rows_per_request} row(s) per request\n\n{markdown_table(table)}")
    if not quick:
        PAGE.write_text(markdown_page(tables, conditions), encoding="utf-8")
        print(f"\nwrote {PAGE} and {REPORTS / 'bench.json'}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
