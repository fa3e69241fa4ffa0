"""A real Prometheus and Alertmanager (`make debian-packages`) on loopback, our files made quick, and a webhook."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from cli.children import answers, free_port, running, wait_until
from tests.waiting import PATIENCE, until

ROOT: Final = Path(__file__).resolve().parents[1]
MONITORING: Final = ROOT / "monitoring"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"(\[|for: |_wait: |_interval: )(\d+)([smhd])")


def quickened(text: str, factor: int = 60) -> str:
    """Return rules or routes with every `for`, wait, interval and window a `factor`th as long: a second or more."""

    def shorter(match: re.Match[str]) -> str:
        seconds = max(1, int(match[2]) * _SECONDS[match[3]] // factor)
        return f"{match[1]}{seconds}s"

    return _DURATION.sub(shorter, text)


def tool(name: str) -> str:
    """Return the path of a program of Debian's packages; the test fails where it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not installed: make debian-packages")
    return found


def ran(*command: str, cwd: Path = ROOT, given: str | None = None) -> str:
    """Return what a program printed; the test fails where it does."""
    done = subprocess.run(command, cwd=cwd, input=given, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@dataclass
class Webhook:
    """What Alertmanager sent: the status of each alert, by its name, in the order in which they came."""

    url: str = ""
    told: list[tuple[str, str]] = field(default_factory=list)

    @contextlib.contextmanager
    def listening(self) -> Iterator[Webhook]:
        """Take posts on a free port of loopback."""
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                told.extend((alert["labels"]["alertname"], alert["status"]) for alert in body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                """Print nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)

    def wait_for(self, alert: str, status: str) -> None:
        """Return when an alert has come with a status, after which what came is forgotten."""
        until(
            lambda: (alert, status) in self.told,
            told=lambda: f"{alert} did not become {status}; there came {self.told}",
        )
        self.told.clear()


@dataclass
class Prometheus:
    """A running Prometheus."""

    url: str

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query; the test fails where it is none."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expr}, timeout=60, trust_env=False).json()
        assert answer["status"] == "success", f"{expr}: {answer}"
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


@contextlib.contextmanager
def observing(folder: Path, service_url: str, webhook: Webhook) -> Iterator[Prometheus]:
    """Run Prometheus and Alertmanager from our own files, a minute in them a second; `folder` keeps their data."""
    folder.mkdir()
    with (
        _alertmanager(folder, webhook.url) as alertmanager,
        _prometheus(folder, service_url, alertmanager) as prometheus,
    ):
        yield prometheus


@contextlib.contextmanager
def _alertmanager(folder: Path, webhook: str) -> Iterator[str]:
    config = yaml.safe_load(quickened((MONITORING / "alertmanager.yml").read_text(encoding="utf-8")))
    config["receivers"][0]["webhook_configs"][0]["url"] = webhook
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = [
        tool("prometheus-alertmanager"),
        f"--config.file={path}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",  # else it gossips on every interface
    ]
    with _up("alertmanager", command, folder, f"http://{address}/-/ready"):
        yield address


@contextlib.contextmanager
def _prometheus(folder: Path, service_url: str, alertmanager: str) -> Iterator[Prometheus]:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    (scrape,) = config["scrape_configs"]
    scrape["static_configs"][0]["targets"] = [service_url.removeprefix("http://")]
    del scrape["authorization"]  # on loopback no key is needed
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [alertmanager]
    (folder / "alerts.yml").write_text(quickened((MONITORING / "alerts.yml").read_text(encoding="utf-8")))
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = [
        tool("prometheus"),
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}",
    ]
    with _up("prometheus", command, folder, f"http://{address}/-/ready"):
        yield Prometheus(f"http://{address}")


@contextlib.contextmanager
def _up(name: str, command: list[str], folder: Path, ready: str) -> Iterator[None]:
    log = folder / f"{name}.log"
    with running(name, command, dict(os.environ), log) as process:
        wait_until(name, process, log, lambda: answers(ready), PATIENCE)
        yield
