"""All settings of a deployment: read once, checked, and written out as documentation.

`python -m bentos.configuration` prints docs/configuration.md, `… env` prints .env.example.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Self

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from assessment.settings import AssessmentSettings
from bentos.settings import BatchingSettings, RunnerSettings, ServingSettings
from database.settings import DatabaseSettings
from explanation.settings import ExplanationSettings
from monitoring.settings import DriftSettings, MonitoringSettings
from registry.settings import RegistrySettings
from tracking.settings import TrackingSettings

SETTINGS: tuple[type[BaseSettings], ...] = (
    DatabaseSettings,
    RegistrySettings,
    ServingSettings,
    BatchingSettings,
    RunnerSettings,
    MonitoringSettings,
    DriftSettings,
    AssessmentSettings,
    ExplanationSettings,
    TrackingSettings,
)
_PREFIX = "FAIRMIND_"
# What Kubernetes puts into every container for a Service called `fairmind…`; only with the values it puts there,
# so that FAIRMIND_BENTO_PORT=4000 is still the typo that it is.
_NAME = r"FAIRMIND(_[A-Z0-9]+)*"
_SERVICE_LINKS = (
    (rf"{_NAME}(_SERVICE_HOST|_PORT_\d+_(TCP|UDP|SCTP)_ADDR)", r"[0-9a-f.:]+"),
    (rf"{_NAME}(_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT_\d+_(TCP|UDP|SCTP)_PORT)", r"\d+"),
    (rf"{_NAME}_PORT(_\d+_(TCP|UDP|SCTP))?", r"(tcp|udp|sctp)://.+"),
    (rf"{_NAME}_PORT_\d+_(TCP|UDP|SCTP)_PROTO", r"(tcp|udp|sctp)"),
)


class ConfigurationError(Exception):
    """A setting is unknown or has a value it cannot have; the message names it and never holds a secret."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of every package, as read from the environment."""

    database: DatabaseSettings
    registry: RegistrySettings
    serving: ServingSettings
    batching: BatchingSettings
    runners: RunnerSettings
    monitoring: MonitoringSettings
    assessment: AssessmentSettings = field(default_factory=AssessmentSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    drift: DriftSettings = field(default_factory=DriftSettings)
    explanation: ExplanationSettings = field(default_factory=ExplanationSettings)

    @classmethod
    def load(cls) -> Self:
        """Read all settings from the environment.

        Raises:
            ConfigurationError: A `FAIRMIND_*` name is unknown, or a value is not what the setting takes.
        """
        check_names(os.environ)
        try:
            return cls(
                DatabaseSettings(),
                RegistrySettings(),
                ServingSettings(),
                BatchingSettings(),
                RunnerSettings(),
                MonitoringSettings(),
                AssessmentSettings(),
                TrackingSettings(),
                DriftSettings(),
                ExplanationSettings(),
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = str(first["loc"][0]) if first["loc"] else error.title
            refused = next(kind for kind in SETTINGS if kind.__name__ == error.title)  # fields share names
            known = {_variable(kind, field, info): field for kind, field, info in _fields(refused)}
            variable = next((v for v, field in known.items() if name in (v, field)), name)
            raise ConfigurationError(f"{variable}: {first['msg']}") from None


def settings_or_exit() -> Settings:
    """Return all settings; where they are wrong, end the process with one line on standard error and status 2.

    For the module that BentoML imports, in the process that would start the workers: raised there, a wrong setting
    would show as a traceback, and raised in the workers, as workers that die and are started again for ever.
    """
    try:
        return Settings.load()
    except ConfigurationError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None


def check_names(environment: Mapping[str, str]) -> None:
    """Refuse `FAIRMIND_*` names that no setting has: a typo would otherwise be ignored in silence."""
    known = {_variable(kind, name, info) for kind, name, info in _fields()}
    for name, value in environment.items():
        if not name.startswith(_PREFIX) or name in known:
            continue
        if any(re.fullmatch(link, name) and re.fullmatch(put, value, re.I) for link, put in _SERVICE_LINKS):
            continue
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; docs/configuration.md lists the names there are"
        raise ConfigurationError(f"{name} is not a setting{hint}")


def as_markdown() -> str:
    """Return the table of all settings."""
    lines = [
        "# Configuration",
        "",
        "Every setting is an environment variable. A `FAIRMIND_*` name that is not listed here refuses to start.",
        "This page is generated: `python -m bentos.configuration > docs/configuration.md`.",
    ]
    for kind in SETTINGS:
        lines += ["", f"## {(kind.__doc__ or kind.__name__).splitlines()[0]}", ""]
        lines += ["| variable | default | what |", "|---|---|---|"]
        for _, name, info in _fields(kind):
            what = " ".join((info.description or "").split())
            lines.append(f"| `{_variable(kind, name, info)}` | {_default(info)} | {what} |")
    return "\n".join(lines) + "\n"


def as_env_example() -> str:
    """Return all settings as a commented environment file."""
    lines = ["# Every setting with its default; generated by: python -m bentos.configuration env"]
    for kind in SETTINGS:
        lines += ["", f"# {(kind.__doc__ or kind.__name__).splitlines()[0]}"]
        for _, name, info in _fields(kind):
            default = "" if info.default is None else _plain(info.default)
            lines.append(f"# {_variable(kind, name, info)}={default}")
    return "\n".join(lines) + "\n"


def _fields(*kinds: type[BaseSettings]) -> Iterator[tuple[type[BaseSettings], str, FieldInfo]]:
    for kind in kinds or SETTINGS:
        for name, info in kind.model_fields.items():
            yield kind, name, info


def _variable(kind: type[BaseSettings], name: str, info: FieldInfo) -> str:
    if isinstance(info.validation_alias, str):
        return info.validation_alias
    return f"{kind.model_config.get('env_prefix', '')}{name}".upper()


def _default(info: FieldInfo) -> str:
    return "unset" if info.default is None or info.default == "" else f"`{_plain(info.default)}`"


def _plain(value: object) -> str:
    if isinstance(value, SecretStr):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.stdout.write(as_env_example() if sys.argv[1:] == ["env"] else as_markdown())
