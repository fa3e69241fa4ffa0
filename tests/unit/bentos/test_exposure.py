"""The service does not start where everybody could reach it and nobody has a key."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from access.key_store import create
from access.keyring import Keyring
from bentos.configuration import Settings
from bentos.errors import InsecureError
from bentos.exposure import check_exposure, is_loopback, safe_or_exit
from bentos.stores import open_control, open_home


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FAIRMIND_HOME", str(tmp_path / "home"))
    return Settings.load()


def test_beyond_loopback_there_must_be_a_key(settings: Settings) -> None:
    check_exposure(settings, "127.0.0.1")
    assert not (settings.database.home / "fairmind.db").exists(), "loopback asks no database"
    with pytest.raises(InsecureError, match=r"0\.0\.0\.0 .* `fairmind keys create .*FAIRMIND_BENTOS_INSECURE=true"):
        check_exposure(settings, "0.0.0.0")
    control = open_control(settings, open_home(settings))
    _, token = create(control, "ci", ["predict"], actor="me", now=datetime.now(UTC))
    control.dispose()
    check_exposure(settings, "0.0.0.0")
    file = settings.database.home / "run" / "keys.json"
    assert Keyring(file).admit(token.text.encode()).id == token.id, "no worker begins with what was true before"


def test_whoever_says_so_serves_everybody(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRMIND_BENTOS_INSECURE", "true")
    check_exposure(Settings.load(), "0.0.0.0")


def test_loopback_is_what_only_this_machine_reaches() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1")] == [True] * 3
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1")] == [False] * 3
    with pytest.raises(ValueError, match="localhost"):
        is_loopback("localhost")


@pytest.mark.parametrize(("host", "status"), [("0.0.0.0", 2), ("127.0.0.1", None), ("localhost", None)])
def test_the_supervisor_ends_with_one_line(
    settings: Settings, capsys: pytest.CaptureFixture[str], host: str, status: int | None
) -> None:
    """The host is the one that BentoML's command was given, by option or by BENTOML_HOST."""
    command = click.Command("serve", params=[click.Option(["--host"])])
    with click.Context(command) as context:
        context.params["host"] = host
        if status is None:
            safe_or_exit()
            return
        with pytest.raises(SystemExit) as ended:
            safe_or_exit()
    assert ended.value.code == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: 0.0.0.0 is reachable beyond this machine")
