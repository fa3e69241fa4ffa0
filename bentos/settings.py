"""Settings of the serving processes."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from inference.batching import BatchingPolicy


class ServingSettings(BaseSettings):
    """What a serving worker accepts and how many there are."""

    model_config = SettingsConfigDict(env_prefix="FAIRMIND_BENTOS_", use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on; anything but loopback needs `insecure` until API keys exist."""

    port: int = Field(default=3000, ge=1, le=65535)
    """HTTP port."""

    grpc_port: int = Field(default=3001, ge=1, le=65535)
    """gRPC port, kept for the Open Inference Protocol over gRPC, which is not served yet."""

    workers: int = Field(default=1, ge=1)
    """Serving processes that share the port."""

    max_body_bytes: int = Field(default=32_000_000, ge=1_000)
    """Largest request body; a larger one is refused with 413 before it is read."""

    max_rows: int = Field(default=100_000, ge=1)
    """Most rows of one request; more are refused with 413."""

    timeout_seconds: float = Field(default=10.0, gt=0)
    """A request not answered by then is given up with 504."""

    insecure: bool = False
    """Serve beyond loopback without API keys: everybody who reaches the port may predict and change rollouts."""


class BatchingSettings(BaseSettings, BatchingPolicy):
    """How requests are joined into model calls."""

    model_config = SettingsConfigDict(env_prefix="FAIRMIND_INFERENCE_", use_attribute_docstrings=True, frozen=True)
