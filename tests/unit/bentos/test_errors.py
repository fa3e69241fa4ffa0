"""One table from errors to statuses: every error a client can meet has a row, and no other error needs one."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from bentos import errors
from bentos.configuration import ConfigurationError
from bentos.errors import HTTP_STATUSES, OFFLINE, OFFLINE_PACKAGES, describe, extra_headers, grpc_code
from bentos.wire import ClientGoneError
from inference.errors import (
    CompileError,
    DeadlineExceededError,
    DrainingError,
    QueueFullError,
    SignatureMismatchError,
)
from inference.gtil import TreeLibraryError
from registry.errors import GateRecordError

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PROJECT["tool"]["importlinter"]["root_packages"]
MEETS_NO_CLIENT = {
    ConfigurationError: "the process does not start",
    ClientGoneError: "there is nobody left to answer",
    TreeLibraryError: "its package translates it where it meets it",
}


def modules(package: str) -> Iterator[str]:
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        if "migrations" not in found.name:
            yield found.name


def error_classes(package: str) -> set[type[Exception]]:
    """Return the public errors that the modules of a package define, its base among them."""
    return {
        found
        for module in modules(package)
        for name, found in inspect.getmembers(importlib.import_module(module), inspect.isclass)
        if issubclass(found, Exception) and found.__module__ == module and not name.startswith("_")
    }


def is_base(kind: type[Exception]) -> bool:
    """Return whether the class only gathers others: a package raises its kinds, never the base itself."""
    return kind.__bases__ == (Exception,) and bool(kind.__subclasses__())


SERVING_PACKAGES = [package for package in PACKAGES if package not in OFFLINE_PACKAGES]
ERRORS = [kind for package in SERVING_PACKAGES for kind in error_classes(package) if not is_base(kind)]
ERRORS = sorted(ERRORS, key=lambda kind: f"{kind.__module__}.{kind.__name__}")


def test_there_are_errors_to_hold_to_it() -> None:
    assert len(ERRORS) > 40
    assert {errors.NotReadyError, SignatureMismatchError, GateRecordError} <= set(ERRORS)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_or_is_known_to_meet_no_client(kind: type[Exception]) -> None:
    has_row = any(base in HTTP_STATUSES for base in kind.__mro__)
    assert [has_row, kind in OFFLINE, kind in MEETS_NO_CLIENT].count(True) == 1


def test_what_is_offline_exists_and_has_no_row() -> None:
    assert set(PACKAGES) >= OFFLINE_PACKAGES
    assert not any(base in HTTP_STATUSES for kind in OFFLINE for base in kind.__mro__)


@pytest.mark.parametrize("package", SERVING_PACKAGES)
def test_no_package_of_a_serving_process_imports_an_offline_one(package: str) -> None:
    """Whose errors it could therefore never meet."""
    for path in [*(ROOT / package).rglob("*.py"), ROOT / "service.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert {name.split(".")[0] for name in names}.isdisjoint(OFFLINE_PACKAGES), path


@pytest.mark.parametrize("kind", HTTP_STATUSES, ids=lambda kind: kind.__name__)
def test_statuses_are_statuses_and_codes_are_snake_case(kind: type[Exception]) -> None:
    status, code = HTTP_STATUSES[kind]
    assert 400 <= status <= 504
    assert code.replace("_", "").isalpha()
    assert code == code.lower()


def test_what_a_client_did_wrong_is_never_a_5xx() -> None:
    """A 5xx is our fault or a matter of time; which errors are that is written down here."""
    ours = {kind.__name__ for kind, (status, _) in HTTP_STATUSES.items() if status >= 500}
    assert ours == {
        "NotReadyError",
        "ReplayQueueFullError",
        "KeysUnavailableError",
        "OverloadedError",
        "UnsupportedError",
        "CompanionTimeoutError",
        "ModelFailedError",
        "QueueFullError",
        "TaskQueueFullError",
        "ExplanationBusyError",
        "ExplanationTimeError",
        "NotInstalledError",
        "DeadlineExceededError",
        "DrainingError",
        "RuntimeLoadError",
        "SpoolFullError",
        "LogUnavailableError",
        "RegistryUnavailableError",
        "DatabaseError",
        "ProviderUnavailableError",
        "RemoteError",
        "RemoteFailedError",
        "RemoteMismatchError",
        "RemoteTimeoutError",
        "RemoteUnavailableError",
        "RunnerError",
        "RunnerCrashedError",
        "RunnerStartError",
        "RunnerEnvironmentError",
        "MlModelError",
        "UntrustedModelError",
    }


@pytest.mark.parametrize("kind", HTTP_STATUSES, ids=lambda kind: kind.__name__)
def test_every_error_has_a_grpc_code_which_is_internal_for_bugs_alone_and_never_unknown(
    kind: type[Exception],
) -> None:
    status, code = HTTP_STATUSES[kind]
    name = grpc_code(status, code)
    assert grpc.StatusCode[name] not in {grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN}
    assert (name == "INTERNAL") == (status == 500)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (SignatureMismatchError("is missing"), "INVALID_ARGUMENT"),
        (errors.ModelNotServedError("nobody"), "NOT_FOUND"),
        (QueueFullError(1.0), "RESOURCE_EXHAUSTED"),
        (errors.OverloadedError(1), "RESOURCE_EXHAUSTED"),
        (errors.TooLargeError("rows", 1, "SETTING"), "RESOURCE_EXHAUSTED"),
        (DeadlineExceededError(), "DEADLINE_EXCEEDED"),
        (DrainingError(), "UNAVAILABLE"),
        (errors.NotReadyError("not yet"), "UNAVAILABLE"),
        (errors.UnsupportedError("not here"), "UNIMPLEMENTED"),
        (KeyError("a bug"), "INTERNAL"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_grpc_codes_are_those_that_its_clients_act_upon(error: Exception, name: str) -> None:
    assert grpc_code(*describe(error)[:2]) == name


def test_an_error_is_described_by_its_own_row_or_by_its_bases() -> None:
    told = describe(SignatureMismatchError("is missing", column="age", row=3))
    assert told == (422, "signature_mismatch", "row 3, column 'age': is missing")

    class Special(SignatureMismatchError):
        pass

    assert describe(Special("is odd"))[:2] == (422, "signature_mismatch")


@pytest.mark.parametrize("bug", [KeyError("secret"), CompileError("part", "secret"), KeyboardInterrupt("secret")])
def test_a_bug_is_described_without_its_details(bug: BaseException) -> None:
    status, code, message = describe(bug)
    assert (status, code) == (500, "internal_error")
    assert "secret" not in message


def test_what_is_worth_a_retry_says_when() -> None:
    assert extra_headers(QueueFullError(2.3), 503) == [(b"retry-after", b"3")]
    assert extra_headers(QueueFullError(0.001), 503) == [(b"retry-after", b"1")]
    assert extra_headers(errors.NotReadyError("not yet"), 503) == [(b"retry-after", b"1")]
    assert extra_headers(errors.NotReadyError("not yet"), 404) == []


def test_a_refused_method_names_the_allowed_one() -> None:
    assert extra_headers(errors.MethodError("POST"), 405) == [(b"allow", b"POST")]


def test_a_name_that_is_not_served_is_told_back_bounded() -> None:
    assert len(str(errors.ModelNotServedError("m" * 100_000))) < 400
