"""What is opened for a deployment is opened with its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.configuration import Settings
from bentos.stores import open_home, open_preparer


def test_versions_are_described_within_the_bounds_that_are_set_for_runners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIRMIND_HOME", str(tmp_path))
    monkeypatch.setenv("FAIRMIND_RUNNERS_START_SECONDS", "600")
    monkeypatch.setenv("FAIRMIND_RUNNERS_MEMORY_BYTES", "2000000000")
    settings = Settings.load()
    policy = open_preparer(settings, open_home(settings)).policy
    assert policy is not None
    assert (policy.start_seconds, policy.memory_bytes) == (600.0, 2_000_000_000)
