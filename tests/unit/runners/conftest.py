"""Processes of models in this very environment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from runners.policy import RunnerPolicy
from runners.process import RunnerProcess
from runners.specification import RunnerSpecification
from tests.fakes.mlflow_models import ODD_MODEL, save_code

Start = Callable[..., RunnerProcess]


@pytest.fixture
def start() -> Iterator[Start]:
    """Makes processes from a model folder and what differs from the usual; ends them after the test."""
    with ExitStack() as open_processes:

        def make(folder: Path, policy: RunnerPolicy | None = None, **different: Any) -> RunnerProcess:
            known = {
                "python": sys.executable,
                "flavour": "sklearn",
                "serialization": "cloudpickle",
                "model": folder,
            }
            process = RunnerProcess(RunnerSpecification.model_validate(known | different), policy)
            return open_processes.enter_context(closing(process))

        yield make


@pytest.fixture
def odd_model(tmp_path: Path) -> Path:
    """A model that does what its column `what` says."""
    return save_code(tmp_path / "odd", "odd", "Odd", ODD_MODEL)
