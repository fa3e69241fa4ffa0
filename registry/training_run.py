"""What made a version, as the tracking server keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """The run of a version: its parameters, its tags (the commits among them), its data sets by name and digest."""

    run_id: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    data: Mapping[str, str]
