"""`make loadtest`: locust against a server of its own on a copy of the demo's home."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.homes import copy_home, default_home, ensure_demo_home
from loadtests.servers import QUIET, fairmind

REPORTS = Path("reports")


def main(arguments: list[str] | None = None) -> int:
    """Run the load test and return its exit status; options it does not know go to locust."""
    parser = argparse.ArgumentParser(prog="make loadtest ARGS=...", description=__doc__)
    parser.add_argument("--home", type=Path, default=default_home(), help="home whose models are served")
    parser.add_argument("--host", help="a running service to test instead of one started here")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--users", type=int, default=30)
    parser.add_argument("--run-time", default="30s")
    options, further = parser.parse_known_args(arguments)
    load = ["--users", str(options.users), "--run-time", options.run_time, *further]
    data_folder = options.home.absolute() / "data"
    if options.host:
        return _locust(options.host, data_folder, load)
    try:
        ensure_demo_home(options.home)
        with tempfile.TemporaryDirectory(prefix="fairmind-loadtest-") as folder:
            home = copy_home(options.home, Path(folder) / "home")
            with fairmind(home, workers=options.workers, log=REPORTS / "loadtest-server.log") as server:
                return _locust(server.url, data_folder, load)
    except LoadTestError as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"loadtest: the demo failed with status {error.returncode}", file=sys.stderr)
        return 2


def _locust(url: str, data_folder: Path, load: list[str]) -> int:
    REPORTS.mkdir(exist_ok=True)
    command = [str(Path(sys.executable).parent / "locust"), "-f", str(Path(__file__).parent / "locustfile.py")]
    command += [
        "--headless",
        "--host",
        url,
        "--spawn-rate",
        "10",
        "--only-summary",
        "--reset-stats",
        "--loglevel",
        "WARNING",
    ]
    command += ["--data-folder", str(data_folder), "--result", str(REPORTS / "loadtest.json")]
    command += ["--html", str(REPORTS / "loadtest.html"), *load]
    return subprocess.run(command, env={**os.environ, **QUIET}, check=False).returncode  # noqa: S603 - our own command


if __name__ == "__main__":
    sys.exit(main())
