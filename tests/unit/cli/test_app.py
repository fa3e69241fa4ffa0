"""The command itself: help everywhere, one line per error, its exit status, and nothing heavy on import."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.main import get_command
from typer.testing import CliRunner

from cli import app as application
from cli.failures import UsageError
from registry.errors import GateRefusedError

HEAVY = {"pandas", "sklearn", "mlflow", "matplotlib", "scipy", "bentoml", "sqlalchemy", "numpy"}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    children = getattr(group, "commands", {})
    if not children:
        yield path
    for name, child in children.items():
        yield from commands(child, (*path, name))


EVERY_COMMAND = list(commands(get_command(application.app)))


def test_the_commands_of_the_main_job_are_there() -> None:
    wanted = {("demo",), ("train",), ("serve",), ("bias-test",), ("doctor",), ("models", "promote")}
    assert wanted | {("rollout", "start"), ("models", "rollback")} <= set(EVERY_COMMAND)


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(application.app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_a_command_that_does_not_exist_is_wrong_usage() -> None:
    assert CliRunner().invoke(application.app, ["dance"]).exit_code == 2


def test_importing_the_command_imports_nothing_heavy() -> None:
    code = f"import sys, cli.app; print(*({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def ended(monkeypatch: pytest.MonkeyPatch, error: BaseException, *arguments: str) -> int:
    """Run `main` with a command that raises; return its exit status."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(application, "app", fail)
    monkeypatch.setattr(application, "keep_files_private", lambda: None)  # it would hold for the other tests too
    monkeypatch.setattr(sys, "argv", ["fairmind", *arguments])
    with pytest.raises(SystemExit) as caught:
        application.main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("give a file"), 2),
        (GateRefusedError("credit/1", ()), 3),
        (OSError("no space left"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_main_ends_with_the_errors_status(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
) -> None:
    assert ended(monkeypatch, error) == status


def test_with_debug_the_error_itself_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError):
        ended(monkeypatch, UsageError("give a file"), "--debug", "train")


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `fairmind` as a process on a temporary home."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FAIRMIND_", "MLFLOW_"))}
        environment = kept | {"FAIRMIND_HOME": str(tmp_path / "home")} | settings
        code = "from cli.app import main; main()"
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_an_error_is_one_line_on_standard_error(shell: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = shell("rollout", "start", "no[/such]where.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no[/such]where.yaml cannot be read")


def test_an_error_of_others_is_one_line_too_and_names_the_way_to_its_traceback(
    shell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "fairmind.db").write_text("no database at all, but long enough to be read as one" * 30)
    done = shell("rollout", "list")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line == (
        "error: DatabaseError: (sqlite3.DatabaseError) file is not a database; "
        "run again with --debug for the traceback"
    )
    debugged = shell("--debug", "rollout", "list")
    assert debugged.returncode == 1
    assert "Traceback (most recent call last)" in debugged.stderr


def test_a_setting_that_does_not_exist_is_wrong_usage(
    shell: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = shell("rollout", "list", FAIRMIND_HOMES="x")
    assert (done.returncode, done.stderr.strip()) == (
        2,
        "error: FAIRMIND_HOMES is not a setting; did you mean FAIRMIND_HOME?",
    )


def test_the_home_is_its_owners_alone(
    shell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    assert shell("rollout", "list").returncode == 0
    for path in [tmp_path / "home", *(tmp_path / "home").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_what_is_written_into_a_home_that_is_open_to_all_is_its_owners_alone(
    shell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o755)
    assert shell("rollout", "list").returncode == 0
    written = list((tmp_path / "home").rglob("*"))
    assert {"fairmind.db", "run", "migrate.lock"} <= {path.name for path in written}
    assert [path for path in written if path.stat().st_mode & 0o077] == []


def test_train_wants_either_a_configuration_or_a_table(fairmind: Callable[..., Result], home: Path) -> None:
    wrong = (
        [],
        ["a.yaml", "--data", "a.csv"],
        ["a.yaml", "--target", "y"],
        ["--data", "a.csv"],
    )
    for arguments in wrong:
        assert isinstance(fairmind("train", *arguments).exception, UsageError)
