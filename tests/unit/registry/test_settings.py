"""The registry's settings are read under their well-known names."""

from __future__ import annotations

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
