"""Where the registry is and how often it is asked."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

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

    trusted: str = ""
    """Tracking URIs, comma-separated, whose models may run code of their own (pickles, `code_paths`, packages from
    their requirements). The embedded store always may."""

    promotion_requires: Literal["", "replay"] = ""
    """What a version needs beside its gates to become champion: `replay`, a replay of it beside the champion on 30
    days of logged traffic, not older than a week, that had data enough and found no harm. `fairmind models promote`
    asks for it; a rollout does where its plan says so. Unset: nothing."""

    @property
    def address(self) -> str | None:
        """Where model versions come from, without a password; None for the embedded store."""
        uri = self.registry_uri or self.tracking_uri
        return None if uri is None else plain_address(uri)

    @property
    def is_trusted(self) -> bool:
        """Whether code that comes with a version may run."""
        return self.address is None or self.address in {plain_address(uri) for uri in self.trusted.split(",")}


def plain_address(uri: str) -> str:
    """Return the address as it is compared and shown: without user, password, query and a slash at the end.

    >>> plain_address(" https://ada:secret@mlflow.example:5000/ ")
    'https://mlflow.example:5000'
    """
    uri = uri.strip().partition("?")[0].rstrip("/")
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
