"""Settings of tracking: which providers get test results, and how patiently."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Provider(StrEnum):
    """A place that test results are sent to."""

    WANDB = "wandb"
    MLFLOW = "mlflow"


class Choice(StrEnum):
    """What `MLOPS_PROVIDER` may say."""

    NONE = "none"
    WANDB = "wandb"
    MLFLOW = "mlflow"
    BOTH = "both"

    @property
    def providers(self) -> tuple[Provider, ...]:
        """The providers it means."""
        match self:
            case Choice.NONE:
                return ()
            case Choice.BOTH:
                return (Provider.WANDB, Provider.MLFLOW)
        return (Provider(self.value),)


class TrackingSettings(BaseSettings):
    """Where test results are logged."""

    model_config = SettingsConfigDict(
        env_prefix="FAIRMIND_TRACKING_", frozen=True, populate_by_name=True, use_attribute_docstrings=True
    )

    provider: Choice = Field(default=Choice.NONE, validation_alias="MLOPS_PROVIDER")
    """Who gets the results of bias tests: `none`, `wandb` (Weights & Biases), `mlflow` or `both`."""

    wandb_api_key: SecretStr | None = Field(default=None, validation_alias="WANDB_API_KEY")
    """Key of Weights & Biases; unset, what `wandb login` has left on this machine."""

    wandb_project: str = Field(default="fairmind-bias-detection", validation_alias="WANDB_PROJECT", min_length=1)
    """Project of Weights & Biases."""

    wandb_entity: str | None = Field(default=None, validation_alias="WANDB_ENTITY")
    """User or team of Weights & Biases; unset, the one that the key's owner has chosen as default."""

    wandb_base_url: str = Field(default="https://api.wandb.ai", validation_alias="WANDB_BASE_URL", min_length=1)
    """Address of a Weights & Biases server of one's own."""

    experiment_name: str = Field(
        default="fairmind_bias_detection", validation_alias="MLFLOW_EXPERIMENT_NAME", min_length=1
    )
    """Experiment of MLflow; it is made where it is missing. The server is that of `MLFLOW_TRACKING_URI`."""

    mlflow_ui: str | None = None
    """Where a browser finds MLflow's pages, where not at `MLFLOW_TRACKING_URI` (a database, an address within)."""

    timeout_seconds: float = Field(default=60.0, gt=0)
    """How long one result may take to be logged; then the process that sends it is ended, and it is tried again."""

    answer_seconds: float = Field(default=20.0, ge=0)
    """How long `POST /api/v1/mlops/log-test` and commands wait to tell where the run is; the result is kept in any
    case. A request is given up after a minute."""

    retry_seconds: float = Field(default=1.0, gt=0)
    """Pause after a provider did not answer; it doubles with each failure in a row."""

    longest_retry_seconds: float = Field(default=60.0, gt=0)
    """What that pause grows to."""

    max_waiting: int = Field(default=1_000, ge=1)
    """Most results that may wait on disk; one more is not logged, which is counted and written to the log."""

    max_waiting_bytes: int = Field(default=500_000_000, ge=1_000)
    """Most bytes that they may take."""

    @field_validator("provider", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return (value.strip().lower() or Choice.NONE) if isinstance(value, str) else value

    @field_validator("wandb_api_key", "wandb_entity", "mlflow_ui", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("wandb_base_url", "mlflow_ui")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("it begins with http:// or https://")
        return value
