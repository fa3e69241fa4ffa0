"""Settings of explanations."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict

from explanation.policy import ExplanationPolicy


class ExplanationSettings(BaseSettings, ExplanationPolicy):
    """Explanations of single predictions."""

    model_config = SettingsConfigDict(
        env_prefix="FAIRMIND_EXPLANATION_", use_attribute_docstrings=True, frozen=True
    )
