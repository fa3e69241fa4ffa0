"""Exit statuses: 0 done, 1 failed, 2 wrong usage or bad input, 3 a gate said no."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

from assessment.errors import EmptyTestError
from bentos.configuration import ConfigurationError
from cli import failures
from cli.children import ChildFailedError
from cli.failures import BAD_INPUT, FAILED, REFUSED, UsageError, exit_status, is_ours, one_line
from database.errors import DatabaseUrlError, SchemaVersionError
from fairness.errors import FairnessError
from inference.errors import ParityError, SignatureMismatchError
from monitoring.errors import SpoolFullError
from registry.errors import (
    AliasConflictError,
    GateRecordError,
    GateRefusedError,
    InvalidReferenceError,
    ModelNotFoundError,
    RegistryUnavailableError,
)
from rollout.errors import InvalidPlanError, RolloutConflictError, RolloutGateError, RolloutNotFoundError
from sources.errors import HashMismatchError, SourceNotFoundError, SourceUnavailableError
from training.errors import ConfigError, DataError, NotServableError, TrackingError

STATUSES: list[tuple[Exception, int]] = [
    (GateRefusedError("credit/1", ()), REFUSED),
    (GateRecordError("credit/1", "no record"), REFUSED),
    (RolloutGateError("x"), REFUSED),
    (UsageError("x"), BAD_INPUT),
    (ConfigurationError("x"), BAD_INPUT),
    (DatabaseUrlError(), BAD_INPUT),
    (ModelNotFoundError("credit/9"), BAD_INPUT),
    (InvalidReferenceError("a@b@c"), BAD_INPUT),
    (RolloutNotFoundError("r-1"), BAD_INPUT),
    (InvalidPlanError("x"), BAD_INPUT),
    (SignatureMismatchError("x"), BAD_INPUT),
    (EmptyTestError(), BAD_INPUT),
    (FairnessError("x"), BAD_INPUT),
    (SourceNotFoundError("a.csv", "x"), BAD_INPUT),
    (ConfigError("a.yaml", "name", "x"), BAD_INPUT),
    (DataError("x"), BAD_INPUT),
    (SourceUnavailableError("PyPI", "x"), FAILED),
    (HashMismatchError("a.whl", "x"), FAILED),
    (NotServableError("credit", "x"), FAILED),
    (TrackingError("http://mlflow", "x"), FAILED),
    (RegistryUnavailableError("http://mlflow", "x"), FAILED),
    (AliasConflictError("credit", "champion", expected="1", found="2"), FAILED),
    (RolloutConflictError("x"), FAILED),
    (SchemaVersionError("db", "9"), FAILED),
    (SpoolFullError(1), FAILED),
    (ParityError(decisions_changed=1, largest_difference=1.0, tolerance=0.0, rows=1), FAILED),
    (ChildFailedError("it", Path("/nowhere"), "ended"), FAILED),
]


@pytest.mark.parametrize(("error", "status"), STATUSES, ids=lambda value: type(value).__name__)
def test_an_error_of_ours_has_its_exit_status(error: Exception, status: int) -> None:
    assert is_ours(error)
    assert exit_status(error) == status


def test_a_subclass_ends_as_its_base_does() -> None:
    class Special(GateRefusedError):
        pass

    assert exit_status(Special("credit/1", ())) == REFUSED


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), KeyError("x"), ImportError("x")])
def test_an_error_of_others_is_a_failure_and_named_by_its_kind(error: Exception) -> None:
    assert not is_ours(error)
    assert exit_status(error) == FAILED
    assert one_line(error).startswith(f"{type(error).__name__}: ")
    assert one_line(error).endswith("run again with --debug for the traceback")


def test_an_error_of_others_with_the_name_of_ours_is_still_theirs() -> None:
    stranger = type("GateRefusedError", (Exception,), {"__module__": "somewhere.else"})
    assert exit_status(stranger("x")) == FAILED


def test_an_error_of_ours_is_told_in_its_own_words_and_one_of_others_by_its_first_line() -> None:
    assert one_line(UsageError("give a file")) == "give a file"
    assert one_line(ValueError("first\nsecond")) == "ValueError: first; run again with --debug for the traceback"
    assert one_line(ValueError()) == "ValueError; run again with --debug for the traceback"


def test_every_name_in_the_lists_is_an_error_that_exists() -> None:
    """The lists hold names, so that no command imports a package for the sake of its errors."""
    existing = set()
    for package in failures._PACKAGES:
        root = importlib.import_module(package)
        for module in pkgutil.iter_modules(root.__path__, f"{package}."):
            if "migrations" not in module.name:
                found = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
                existing |= {name for name, kind in found if issubclass(kind, Exception)}
    named = failures._REFUSALS | failures._FAILURES | failures._BAD_INPUT
    assert named - existing == set()
