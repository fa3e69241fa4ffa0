"""`fairmind keys`: what is printed once, what is listed, and what reaches the workers at once."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from access.keyring import Keyring
from cli import keys


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "results", Console(highlight=False, width=300))


def test_a_key_is_printed_once_alone_on_standard_output_and_works_at_once(fairmind: Any, home: Path) -> None:
    made = fairmind("keys", "create", "ci", "--scopes", "predict, read")
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    assert re.fullmatch(r"fmk_[0-9a-f]{12}_[0-9a-f]{64}", token)
    principal = Keyring(home / "run" / "keys.json").admit(token.encode())
    assert (principal.id, sorted(principal.scopes)) == (token.split("_")[1], ["predict", "read"])
    listed = fairmind("keys", "list")
    assert principal.id in listed.stdout
    assert token not in listed.output
    assert all(token.encode() not in path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_what_scripts_read_has_the_key_when_it_is_made_and_never_again(answer: Any, home: Path) -> None:
    made = answer(["keys", "create", "ci", "--scopes", "outcome", "--rate", "2.5", "--expires", "30"])
    assert made["key"].startswith(f"fmk_{made['id']}_")
    assert (made["name"], made["scopes"], made["requests_per_second"]) == ("ci", ["outcome"], 2.5)
    lasts = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert lasts.days == 30
    (listed,) = answer(["keys", "list"])["keys"]
    assert listed == {name: value for name, value in made.items() if name != "key"}
    revoked = answer(["keys", "revoke", made["id"]])
    assert (revoked["state"], revoked["id"]) == ("revoked", made["id"])
    assert json.loads((home / "run" / "keys.json").read_bytes()) == {"keys": []}
    assert answer(["keys", "list"])["keys"][0]["state"] == "revoked"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create", "ci", "--scopes", "sudo"], "there is no scope 'sudo'; there are predict, outcome, attribute"),
        (["create", "ci", "--scopes", ""], "a key needs a scope"),
        (["create", "ci", "--scopes", "read", "--rate", "0"], "more than 0"),
        (["create", "ci", "--scopes", "read", "--expires", "-1"], "expired already"),
        (["create", "ci", "--scopes", "read", "--expires", "1e300"], "no calendar"),
        (["create", "ci", "--scopes", "read", "--expires", "nan"], "no calendar"),
        (["revoke", "0123456789ab"], "there is no key '0123456789ab'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(fairmind: Any, arguments: list[str], told: str) -> None:
    result = fairmind("keys", *arguments)
    assert told in str(result.exception)


def test_without_keys_the_list_says_how_to_make_one(fairmind: Any) -> None:
    assert "fairmind keys create NAME --scopes" in fairmind("keys", "list").stdout
