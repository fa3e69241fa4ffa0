"""Usage reports: off by default, also for a library that asked before we said so; on where the user says so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bentoml._internal.utils.analytics import usage_stats

from bentos import telemetry

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def nobody_said_anything(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in telemetry._SWITCHES:
        monkeypatch.setenv(name, "")  # so that it is as before afterwards, whatever is set meanwhile
        monkeypatch.delenv(name)
    cached = usage_stats.do_not_track
    cached.cache_clear()
    yield
    cached.cache_clear()


def test_bentoml_is_told_though_it_has_asked_before() -> None:
    """As under `bentoml serve`; fails where a release of BentoML renames what it asks, or where it keeps it."""
    assert not usage_stats.do_not_track()
    telemetry.switch_off()
    assert usage_stats.do_not_track()


def test_a_user_who_wants_to_report_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "False")
    telemetry.switch_off()
    assert not usage_stats.do_not_track()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_release_of_bentoml_without_it_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(usage_stats, "do_not_track")
    telemetry.switch_off()
    assert os.environ["BENTOML_DO_NOT_TRACK"] == "True"


def test_switching_off_imports_nothing() -> None:
    code = "import sys; from bentos import telemetry; telemetry.switch_off(); print('bentoml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
