"""The registry's settings are read under their well-known names."""

from __future__ import annotations

import pytest

from registry.settings import RegistrySettings


def test_the_well_known_names_are_kept(monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://registry:5000")
    monkeypatch.setenv("FAIRMIND_REGISTRY_POLL_SECONDS", "2.5")
    settings = RegistrySettings()
    assert (settings.tracking_uri, settings.registry_uri) == ("http://mlflow:5000", "http://registry:5000")
    assert (settings.poll_seconds, settings.timeout_seconds) == (2.5, 10.0)


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in RegistrySettings.model_fields.values())


@pytest.mark.parametrize(
    ("tracking", "registry", "trusted", "expected"),
    [
        (None, None, "", True),
        ("http://mlflow:5000", None, "", False),
        ("http://mlflow:5000", None, "http://other, http://mlflow:5000/", True),
        ("http://ada:secret@mlflow:5000", None, "http://mlflow:5000", True),
        ("http://mlflow:5000", "http://registry:5000", "http://mlflow:5000", False),
        ("http://mlflow:5000", "http://registry:5000", "http://registry:5000", True),
        ("sqlite:////data/a@b.db", None, "sqlite:////data/a@b.db", True),
        ("sqlite:////data/a@b.db", None, "sqlite:////data/b.db", False),
    ],
)
def test_code_runs_only_from_registries_that_are_named(
    tracking: str | None, registry: str | None, trusted: str, expected: bool
) -> None:
    settings = RegistrySettings(tracking_uri=tracking, registry_uri=registry, trusted=trusted)
    assert settings.is_trusted is expected
    assert "secret" not in str(settings.address)
