"""Settings: a typo or a wrong value refuses to start and names itself, and the documents list every field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bentos.configuration import (
    SETTINGS,
    ConfigurationError,
    Settings,
    as_env_example,
    as_markdown,
    check_names,
)

VARIABLES = [
    "FAIRMIND_HOME",
    "FAIRMIND_DATABASE_URL",
    "MLFLOW_TRACKING_URI",
    "FAIRMIND_REGISTRY_POLL_SECONDS",
    "FAIRMIND_REGISTRY_TIMEOUT_SECONDS",
    "FAIRMIND_BENTOS_PORT",
    "FAIRMIND_BENTOS_TIMEOUT_SECONDS",
    "FAIRMIND_BENTOS_INSECURE",
    "FAIRMIND_MONITORING_ON_FULL",
]
TEXTS = {
    "FAIRMIND_HOME",
    "FAIRMIND_DATABASE_URL",
    "FAIRMIND_BENTOS_HOST",
    "FAIRMIND_BENTOS_MODELS",
    "FAIRMIND_MONITORING_FEATURES_URI",
    "FAIRMIND_REGISTRY_TRUSTED",
}
NO_TEXT = [variable for variable in re.findall(r"`(FAIRMIND_[A-Z_]+)`", as_markdown()) if variable not in TEXTS]
FIELDS: list[tuple[type[BaseModel], str, FieldInfo]] = [
    (kind, name, info) for kind in SETTINGS for name, info in kind.model_fields.items()
]


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("FAIRMIND", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")):
            monkeypatch.delenv(name)


# ---- reading ----


def test_without_a_word_everything_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load()
    assert settings.database.home == Path(".fairmind")
    assert (settings.database.url, settings.registry.tracking_uri) == (None, None)
    assert (settings.serving.host, settings.serving.port, settings.serving.insecure) == ("127.0.0.1", 3000, False)


def test_every_package_reads_its_own_names_and_the_well_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {
        "FAIRMIND_HOME": "/data/here",
        "MLFLOW_TRACKING_URI": "http://mlflow:5000",
        "FAIRMIND_REGISTRY_TIMEOUT_SECONDS": "3",
        "FAIRMIND_BENTOS_TIMEOUT_SECONDS": "4",
        "FAIRMIND_MONITORING_ON_FULL": "serve",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.database.home == Path("/data/here")
    assert settings.registry.tracking_uri == "http://mlflow:5000"
    assert (settings.registry.timeout_seconds, settings.serving.timeout_seconds) == (3.0, 4.0)
    assert settings.monitoring.on_full == "serve"


def test_a_database_password_is_in_no_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRMIND_DATABASE_URL", "postgresql+psycopg://me:hunter2@db/x")
    settings = Settings.load()
    assert "hunter2" not in repr(settings)
    assert settings.database.url is not None
    assert "hunter2" in settings.database.url.get_secret_value()


# ---- refusing ----


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("FAIRMIND_BENTO_PORT", "FAIRMIND_BENTOS_PORT"),
        ("FAIRMIND_BENTOS_WORKER", "FAIRMIND_BENTOS_WORKERS"),
        ("FAIRMIND_HOMES", "FAIRMIND_HOME"),
        ("FAIRMIND_DATABSE_URL", "FAIRMIND_DATABASE_URL"),
        ("FAIRMIND_REGISTRY_POLL_SECOND", "FAIRMIND_REGISTRY_POLL_SECONDS"),
        ("FAIRMIND_MONITORING_ONFULL", "FAIRMIND_MONITORING_ON_FULL"),
    ],
)
def test_an_unknown_name_is_refused_with_the_closest_one(
    monkeypatch: pytest.MonkeyPatch, typo: str, meant: str
) -> None:
    monkeypatch.setenv(typo, "4000")
    with pytest.raises(ConfigurationError, match=rf"^{typo} is not a setting; did you mean {meant}\?$"):
        Settings.load()


def test_a_name_like_no_other_is_refused_with_the_place_to_look() -> None:
    with pytest.raises(ConfigurationError, match=r"docs/configuration\.md"):
        check_names({"FAIRMIND_QQQQQQQQQ": "1"})


def test_names_of_others_are_left_alone() -> None:
    check_names({"PATH": "/bin", "FAIR": "1", "FAIRMINDED": "1", "MLFLOW_TRACKING_URL": "typo of somebody else's"})


KUBERNETES = {
    "FAIRMIND_SERVICE_HOST": "10.96.0.7",
    "FAIRMIND_SERVICE_PORT": "3000",
    "FAIRMIND_SERVICE_PORT_HTTP": "3000",
    "FAIRMIND_PORT": "tcp://10.96.0.7:3000",
    "FAIRMIND_PORT_3000_TCP": "tcp://10.96.0.7:3000",
    "FAIRMIND_PORT_3000_TCP_PROTO": "tcp",
    "FAIRMIND_PORT_3000_TCP_PORT": "3000",
    "FAIRMIND_PORT_3000_TCP_ADDR": "10.96.0.7",
    "FAIRMIND_PORT_53_UDP": "udp://10.96.0.7:53",
    "FAIRMIND_PORT_53_UDP_PROTO": "udp",
    "FAIRMIND_WEB_2_SERVICE_HOST": "fd00::7",
    "FAIRMIND_WEB_2_PORT": "tcp://[fd00::7]:3000",
}


@pytest.mark.parametrize("name", KUBERNETES)
def test_what_kubernetes_injects_for_a_service_is_no_typo(name: str) -> None:
    check_names({name: KUBERNETES[name]})


@pytest.mark.parametrize("name", KUBERNETES)
def test_the_same_names_with_other_values_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} is not a setting"):
        check_names({name: "yes please"})


@pytest.mark.parametrize("name", ["FAIRMIND_PORT", "FAIRMIND_BENTO_PORT", "FAIRMIND_WEB_2_PORT"])
def test_a_port_number_where_kubernetes_puts_an_address_is_a_typo(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} is not a setting"):
        check_names({name: "4000"})


@pytest.mark.parametrize("variable", NO_TEXT)
def test_a_wrong_value_is_named_by_its_variable_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "hunter2")
    with pytest.raises(ConfigurationError, match=rf"^{variable}: ") as caught:
        Settings.load()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FAIRMIND_BENTOS_PORT", "0"),
        ("FAIRMIND_BENTOS_PORT", "65536"),
        ("FAIRMIND_BENTOS_WORKERS", "0"),
        ("FAIRMIND_BENTOS_TIMEOUT_SECONDS", "0"),
        ("FAIRMIND_REGISTRY_TIMEOUT_SECONDS", "-1"),
        ("FAIRMIND_REGISTRY_POLL_SECONDS", "nan"),
        ("FAIRMIND_MONITORING_SHIP_SECONDS", "0"),
    ],
)
def test_a_value_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=rf"^{variable}: "):
        Settings.load()


# ---- documents ----


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: f"{field[0].__name__}.{field[1]}")
def test_every_field_says_what_it_is(field: tuple[Any, str, FieldInfo]) -> None:
    what = " ".join((field[2].description or "").split())
    assert what.endswith(".") or what.endswith(")")
    assert what in as_markdown()


def test_both_documents_list_every_field_once() -> None:
    page = re.findall(r"^\| `([A-Z_]+)` \|", as_markdown(), flags=re.MULTILINE)
    example = re.findall(r"^# ([A-Z_]+)=", as_env_example(), flags=re.MULTILINE)
    assert page == example
    assert len(page) == len(set(page)) == len(FIELDS)
    assert set(VARIABLES) <= set(page)


def test_features_that_are_not_written_are_named_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRMIND_MONITORING_REDACTED_FEATURES", '{"credit": ["ssn"], "*": ["name"]}')
    assert Settings.load().monitoring.redacted_features == {"credit": ["ssn"], "*": ["name"]}


def test_the_example_holds_the_defaults_that_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings.load()
    for name, value in re.findall(r"^# ([A-Z_]+)=(.+)$", as_env_example(), flags=re.MULTILINE):
        monkeypatch.setenv(name, value)
    assert Settings.load() == defaults
