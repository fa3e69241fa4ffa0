"""`make bench`: the service beside its peers and against its targets, into docs/benchmarks.md and .json."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from loadtests.bench.contenders import REPORTS
from loadtests.bench.machine import describe_libraries, describe_machine
from loadtests.bench.models import ensure_bench_home
from loadtests.bench.report import (
    Conditions,
    Section,
    json_page,
    markdown_page,
    markdown_section,
    renewed,
    sections_of,
)
from loadtests.bench.stage import Effort, Stage
from loadtests.errors import LoadTestError
from loadtests.homes import default_home

PAGE: Final = Path("docs/benchmarks.md")
SCENARIOS: Final = (
    "one_row",
    "grpc",
    "throughput",
    "latency",
    "poisson",
    "overload",
    "bulk",
    "hot_swap",
    "memory",
    "growth",
    "dispatcher",
    "fairness",
    "bias_tests",
    "scrape",
    "prediction_log",
    "windows",
    "rollout_evaluation",
    "exposure_cost",
    "replay",
    "drift",
    "remote",
)
QUICK: Final = Effort(repeats=2, seconds=1.0, long_seconds=3.0)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and return its exit status: 0 also where targets are missed, which the page says."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short rounds, to see that it works; writes no page")
    parser.add_argument(
        "--only", default=",".join(SCENARIOS), help=f"some of {','.join(SCENARIOS)}; writes no page"
    )
    parser.add_argument(
        "--renew", action="store_true", help="with --only: into the page too, whose other sections stay as they are"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave out peers with environments of their own")
    parser.add_argument("--data", type=Path, default=default_home() / "data", help="where named data sets are kept")
    options = parser.parse_args(arguments)
    wanted = options.only.split(",")
    if options.renew and (options.quick or options.no_peers):
        parser.error("--renew is for what the page has: no --quick, no --no-peers")
    unknown = sorted(set(wanted) - set(SCENARIOS))
    if unknown:
        parser.error(f"there is no scenario '{unknown[0]}'; there are {', '.join(SCENARIOS)}")
    try:
        with tempfile.TemporaryDirectory(prefix="fairmind-bench-") as folder:
            options.data.mkdir(parents=True, exist_ok=True)
            stage = Stage(
                home=ensure_bench_home(options.data.absolute(), _say),
                data_folder=options.data.absolute(),
                scratch=Path(folder),
                effort=QUICK if options.quick else Effort(),
                say=_say,
                with_peers=not options.no_peers,
            )
            sections, failed = _play(stage, wanted)
    except (LoadTestError, subprocess.CalledProcessError) as error:
        print(f"bench: {_told(error)}", file=sys.stderr)
        return 1
    whole = not failed and not options.quick and not options.no_peers and set(wanted) == set(SCENARIOS)
    if options.renew and not failed:
        _renew(sections)
    else:
        _write(sections, _conditions(stage), publish=whole)
    for name in failed:
        print(f"bench: scenario {name} failed, see above", file=sys.stderr)
    return 1 if failed else 0


def _play(stage: Stage, names: Sequence[str]) -> tuple[list[Section], list[str]]:
    """Return what the scenarios found and the names of those that failed: one does not cost the others' hours."""
    sections: list[Section] = []
    failed: list[str] = []
    for name in names:
        started = time.monotonic()
        _say(f"== {name}")
        try:
            found: list[Section] = importlib.import_module(f"loadtests.bench.scenarios.{name}").run(stage)
        except (LoadTestError, subprocess.CalledProcessError, httpx.HTTPError) as error:
            _say(f"== {name} FAILED: {_told(error)}")
            failed.append(name)
            continue
        for section in found:
            print(f"\n{markdown_section(section)}\n", flush=True)
        sections += found
        _say(f"== {name}: {time.monotonic() - started:.0f} s")
    return sections, failed


def _told(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error.cmd[0]} failed with status {error.returncode}: {error.stderr}"
    return str(error)


def _conditions(stage: Stage) -> Conditions:
    return Conditions(
        day=datetime.now(UTC).date().isoformat(),
        effort=stage.effort.describe(),
        compared=stage.compared,
        machine=describe_machine(),
        libraries=describe_libraries(with_peers=stage.with_peers),
    )


def _write(sections: Sequence[Section], conditions: Conditions, *, publish: bool) -> None:
    REPORTS.mkdir(exist_ok=True)
    page, data = (PAGE, PAGE.with_suffix(".json")) if publish else (REPORTS / "bench.md", REPORTS / "bench.json")
    page.write_text(markdown_page(sections, conditions), encoding="utf-8")
    data.write_text(json.dumps(json_page(sections, conditions), indent=1) + "\n", encoding="utf-8")
    print(f"wrote {page} and {data}")


def _renew(news: Sequence[Section]) -> None:
    known = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))
    when = datetime.now(UTC).strftime("%Y-%m-%d at %H:%M UTC")
    _write(renewed(sections_of(known), news, when), Conditions(**known["conditions"]), publish=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _ended(_signal: int, _frame: object) -> None:
    sys.exit(143)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _ended)  # the usual end would leave the servers running
    signal.signal(signal.SIGINT, _ended)
    sys.exit(main())
