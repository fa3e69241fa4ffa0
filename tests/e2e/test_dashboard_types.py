"""The dashboards are what Grafana's own types say a dashboard is; TypeScript checks it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.observability import MONITORING, ROOT

pytestmark = pytest.mark.debian

SCHEMA = ROOT / "build" / "grafana-schema" / "node_modules"
# Strings are no members of an enumeration to TypeScript, be they the same: JSON is compared with their values.
PREAMBLE = """import type { Dashboard } from '@grafana/schema';
type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
"""
DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))


def checked(folder: Path, dashboards: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Return what the compiler says of dashboards, each a constant of Grafana's type."""
    if not (SCHEMA / "typescript").is_dir():
        pytest.fail("Grafana's types are not installed: make debian-packages")
    (folder / "node_modules").symlink_to(SCHEMA)
    files = []
    for name, dashboard in dashboards.items():
        files.append(f"{name}.ts")
        constant = f"export const dashboard: Plain<Dashboard> = {json.dumps(dashboard)};\n"
        (folder / files[-1]).write_text(PREAMBLE + constant, encoding="utf-8")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler", "--module", "esnext"]
    command = ["node", str(SCHEMA / "typescript" / "bin" / "tsc"), *options, *files]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=200)


def test_every_dashboard_is_one_by_grafana_s_own_types(tmp_path: Path) -> None:
    dashboards = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS}
    done = checked(tmp_path, dashboards)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("place", "wrong"),
    [((), {"titel": "x"}), ((), {"schemaVersion": "x"}), (("panels", 0), {"gridPos": 4}), (("time",), {"from": 7})],
)
def test_a_dashboard_with_what_grafana_does_not_know_is_refused(
    tmp_path: Path, place: tuple[Any, ...], wrong: dict[str, Any]
) -> None:
    dashboard = json.loads(DASHBOARDS[0].read_text(encoding="utf-8"))
    part = dashboard
    for step in place:
        part = part[step]
    part |= wrong
    done = checked(tmp_path, {"wrong": dashboard})
    assert done.returncode != 0
    assert done.stdout.count("error TS") == 1, done.stdout
