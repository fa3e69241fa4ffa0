"""Settings of the databases."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class DatabaseSettings(BaseSettings):
    """Where state is kept."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    home: Path = Field(default=Path(".fairmind"), validation_alias="FAIRMIND_HOME")
    """Folder of all local state: the embedded MLflow store, the databases, the spool and model copies."""

    url: SecretStr | None = Field(default=None, validation_alias="FAIRMIND_DATABASE_URL")
    """Unset: SQLite files in the home. Set: a PostgreSQL database (`postgresql+psycopg://…`)."""
