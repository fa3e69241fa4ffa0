"""Settings of the serving processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from inference.batching import BatchingPolicy
from registry.errors import InvalidReferenceError
from registry.wanted import parse_wanted
from runners.policy import RunnerPolicy

_SHORTEST_SECRET: Final = 16


class ServingSettings(BaseSettings):
    """What a serving worker accepts and how many there are."""

    model_config = SettingsConfigDict(env_prefix="FAIRMIND_BENTOS_", use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on; anything but loopback needs an API key, or `insecure`."""

    port: int = Field(default=3000, ge=1, le=65535)
    """HTTP port."""

    grpc_port: int = Field(default=3001, ge=1, le=65535)
    """gRPC port: the Open Inference Protocol, health and reflection, on the address HTTP listens on."""

    grpc_connection_seconds: float = Field(default=300.0, ge=1)
    """A gRPC connection is asked to end after about this long, which no call notices: so clients spread over the
    workers again."""

    tls_certificate: Path | None = None
    """PEM file with the server's certificate chain; with it and the key, HTTP and gRPC are served with TLS."""

    tls_key: Path | None = None
    """PEM file with the certificate's private key, which is not encrypted."""

    tls_client_ca: Path | None = None
    """PEM file with the authorities whose certificates clients must show, on both ports and for every route, probes
    among them; unset, clients need none."""

    workers: int = Field(default=1, ge=1)
    """Serving processes that share the port."""

    max_body_bytes: int = Field(default=32_000_000, ge=1_000)
    """Largest request body; a larger one is refused with 413 before it is read."""

    max_rows: int = Field(default=100_000, ge=1)
    """Most rows of one request; more are refused with 413."""

    max_columns: int = Field(default=10_000, ge=1)
    """Most columns (features of a row, tensors of a request) of one request; more are refused with 413."""

    timeout_seconds: float = Field(default=10.0, gt=0)
    """A request not answered by then is given up with 504."""

    keep_alive_seconds: float = Field(default=75.0, gt=0)
    """How long a connection may be idle before it is closed. Longer than proxies keep theirs, mostly 60 seconds:
    who sends a request at the moment its connection is closed gets no answer."""

    max_in_flight: int = Field(default=128, ge=1)
    """Requests that one worker answers at the same time; one more is refused with 503 before its body is read."""

    idle_versions: int = Field(default=2, ge=0)
    """Versions that stay loaded in each worker when nothing is served from them any more, so that going back to one
    needs no loading; the one that has been idle longest goes first."""

    shadow_queue_rows: int = Field(default=1_000, ge=1)
    """Rows that may wait in a worker to be scored by a challenger in shadow; more are dropped and counted."""

    shadow_request_rows: int = Field(default=100, ge=1)
    """Of a request with more rows, only the first so many may be scored in shadow."""

    override_secret: SecretStr | None = None
    """Secret of at least 16 characters that overrides are signed with, by which a caller chooses the variant that
    answers; unset, none is taken."""

    access_log: bool = False
    """Write a line per prediction request to the log: method, route, status, milliseconds, request id."""

    spans: bool = False
    """Make an OpenTelemetry span of each prediction request, sent where BentoML's own tracing is configured to."""

    insecure: bool = False
    """Serve beyond loopback without API keys, as on it: everybody who reaches the port may predict and change
    rollouts."""

    rollout_controller: bool = True
    """Let the Companion decide about rollouts with guardrails; of all replicas' one does. Off where
    `fairmind rollout controller` runs instead."""

    models: str = ""
    """Models to serve, comma-separated: `name` (its champion, or its newest version where it has none),
    `name@alias` or `name/version`. Empty: every model that has a champion."""

    @field_validator("models")
    @classmethod
    def _check_models(cls, models: str) -> str:
        try:
            parse_wanted(models)
        except InvalidReferenceError as error:
            raise ValueError(str(error)) from None
        return models

    @field_validator("override_secret", mode="before")
    @classmethod
    def _check_secret(cls, secret: Any) -> Any:
        if secret in {None, ""}:
            return None
        text = secret.get_secret_value() if isinstance(secret, SecretStr) else str(secret)
        if len(text) < _SHORTEST_SECRET:
            raise ValueError(f"a secret has at least {_SHORTEST_SECRET} characters")
        return secret

    @field_validator("tls_certificate", "tls_key", "tls_client_ca", mode="before")
    @classmethod
    def _check_file(cls, path: Any) -> Any:
        if path in {None, ""}:
            return None
        if not (Path(path).is_file() and os.access(path, os.R_OK)):
            raise ValueError("there is no file of that name that can be read")
        return Path(path).absolute()

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        has_any = any((self.tls_certificate, self.tls_key, self.tls_client_ca))
        if has_any and not (self.tls_certificate and self.tls_key):
            raise ValueError("FAIRMIND_BENTOS_TLS_CERTIFICATE and FAIRMIND_BENTOS_TLS_KEY go together")
        return self


class RunnerSettings(BaseSettings, RunnerPolicy):
    """Models that run in a process of their own."""

    model_config = SettingsConfigDict(env_prefix="FAIRMIND_RUNNERS_", use_attribute_docstrings=True, frozen=True)


class BatchingSettings(BaseSettings, BatchingPolicy):
    """How requests are joined into model calls."""

    model_config = SettingsConfigDict(env_prefix="FAIRMIND_INFERENCE_", use_attribute_docstrings=True, frozen=True)
