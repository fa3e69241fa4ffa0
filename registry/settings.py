"""Where the registry is and how often it is asked."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RegistrySettings(BaseSettings):
    """Environment of the model registry."""

    model_config = SettingsConfigDict(
        env_prefix="FAIRMIND_REGISTRY_",
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    tracking_uri: str | None = Field(default=None, validation_alias="MLFLOW_TRACKING_URI")
    """The MLflow server or database. Unset, the embedded store under `FAIRMIND_HOME`."""

    registry_uri: str | None = Field(default=None, validation_alias="MLFLOW_REGISTRY_URI")
    """The model registry, where it is not at the tracking URI."""

    poll_seconds: float = Field(default=5.0, gt=0)
    """How often the aliases are read for changes made elsewhere, in seconds."""

    timeout_seconds: float = Field(default=10.0, gt=0)
    """How long one request to an MLflow server may take before it counts as unreachable, in seconds."""
