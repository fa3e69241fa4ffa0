"""Settings of bias tests."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AssessmentSettings(BaseSettings):
    """Bias tests and the data sets they are run on."""

    model_config = SettingsConfigDict(env_prefix="FAIRMIND_ASSESSMENT_", use_attribute_docstrings=True)

    task_rows: int = Field(default=50_000, ge=1)
    """A bias test of more rows runs as a task: it is answered with 202 and an id to ask for."""

    queued_tasks: int = Field(default=16, ge=1)
    """Most tasks that wait or run at the same time; one more is refused with 503."""

    dataset_rows: int = Field(default=5_000_000, ge=1)
    """Most rows of an uploaded data set; more are refused with 413."""
