"""What to train on what: the configuration of a training, from YAML or from a bare table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError, model_validator

from sources.file import FileSource
from sources.source import Source
from training.errors import ConfigError
from training.mitigation import Mitigation
from training.policy import Gates

Label = bool | int | float | str


class TaskChoice(StrEnum):
    """What to predict; `auto` reads it from the label's values."""

    AUTO = "auto"
    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class UnknownCategories(StrEnum):
    """What the model does with a category it was not trained on: answer without it, or refuse the row."""

    IGNORE = "ignore"
    ERROR = "error"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Split(_Value):
    """How rows are held out: at random, stratified by the label, the same rows for the same seed."""

    test_fraction: float = Field(default=0.25, gt=0.0, lt=1.0)
    seed: int = Field(default=0, ge=0)


class EstimatorConfig(_Value):
    """One estimator of the menu, with parameters for its scikit-learn constructor."""

    kind: str
    params: dict[str, JsonValue] = {}


class TrainingConfig(_Value):
    """One training: every estimator listed becomes a version of the model `name`."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    """Name of the registered model: letters, digits, dot, dash and underscore."""
    source: Source
    label: str
    """The column to predict."""
    task: TaskChoice = TaskChoice.AUTO
    favourable: Label | None = None
    """The label value that is good for the person; None assumes the largest of two, and says so."""
    protected: tuple[str, ...] = ()
    """Protected attributes: measured and logged apart, and no features unless `protected_as_features`."""
    protected_as_features: bool = False
    features: tuple[str, ...] | None = None
    """The columns to learn from; None takes all but the label, the protected attributes and `exclude`."""
    exclude: tuple[str, ...] = ()
    """Columns that are never features: identifiers, other models' outputs, what is not known in time."""
    unknown_categories: UnknownCategories = UnknownCategories.IGNORE
    max_categories: int = Field(default=200, ge=2)
    """A text column with more distinct values than this is left out when features are chosen for you."""
    split: Split = Split()
    estimators: dict[str, EstimatorConfig] = Field(default_factory=dict)
    """Name to estimator; empty means logistic regression and gradient boosting (for numbers: linear regression)."""
    gates: Gates = Gates()
    mitigation: Mitigation | None = None
    """A mitigation, whose version stands beside the unmitigated one; needs `favourable`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.label in self.protected:
            raise ValueError(f"'{self.label}' is both the label and a protected attribute")
        for role, columns in (("features", self.features or ()), ("exclude", self.exclude)):
            if self.label in columns:
                raise ValueError(f"the label '{self.label}' is listed under {role}")
        twice = sorted(set(self.features or ()) & set(self.exclude))
        if twice:
            raise ValueError(f"'{twice[0]}' is listed under features and under exclude")
        apart = sorted(set(self.features or ()) & set(self.protected))
        if apart and not self.protected_as_features:
            raise ValueError(f"'{apart[0]}' is protected; set protected_as_features to learn from it")
        unmeasured = sorted({gate.attribute for gate in self.gates.bias} - set(self.protected))
        if unmeasured:
            raise ValueError(f"gates.bias names '{unmeasured[0]}', which is not among the protected attributes")
        if self.mitigation is not None:
            self._check_mitigation(self.mitigation)
        return self

    def _check_mitigation(self, mitigation: Mitigation) -> None:
        known = ", ".join(self.protected) or "none"
        if mitigation.attribute is None and len(self.protected) != 1:
            raise ValueError(f"the mitigation needs its protected attribute named; there are: {known}")
        if mitigation.attribute is not None and mitigation.attribute not in self.protected:
            wanted = f"the mitigation is for '{mitigation.attribute}'"
            raise ValueError(f"{wanted}, which is not among the protected attributes; there are: {known}")
        if self.favourable is None:
            raise ValueError("a mitigation needs the favourable label named; it cannot be guessed")

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Return the configuration in a YAML file; a relative file source is relative to that file.

        Raises:
            ConfigError: no such file, no YAML, or a key that is unknown, missing or wrong; the first one is named.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(str(path), "", "there is no such file") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(str(path), "", "it cannot be read as text") from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f" in line {mark.line + 1}" if mark else ""
            raise ConfigError(str(path), "", f"it is not YAML{line}") from error
        if not isinstance(content, dict):
            raise ConfigError(str(path), "", "it must be a mapping of keys and values")
        config = cls.parse(content, where=str(path))
        if isinstance(config.source, FileSource) and not config.source.path.is_absolute():
            beside = config.source.model_copy(update={"path": path.parent / config.source.path})
            return config.model_copy(update={"source": beside})
        return config

    @classmethod
    def parse(cls, content: dict[str, Any], *, where: str) -> Self:
        """Return the configuration in a mapping; `where` starts the message of the ConfigError it may raise."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            reason = first["msg"].removeprefix("Value error, ")
            raise ConfigError(where, _key(first["loc"]), reason) from error

    @classmethod
    def for_table(
        cls,
        path: Path,
        target: str,
        protected: Iterable[str] = (),
        name: str | None = None,
        favourable: Label | None = None,
    ) -> Self:
        """Return a configuration for a table of which nothing else is known.

        Types, task and estimators follow from the data. Everything is measured and reported, and gated on nothing.
        The model is named after the file unless `name` is given.
        """
        chosen = name or re.sub(r"[^a-z0-9_.-]+", "-", path.stem.lower()).strip("-._") or "model"
        content = {
            "name": chosen,
            "source": {"kind": "file", "path": path},
            "label": target,
            "protected": tuple(dict.fromkeys(protected)),
            "favourable": favourable,
        }
        return cls.parse(content, where="fairmind train")

    def to_yaml(self) -> str:
        """Return the configuration with every default written out, as it is logged with the run."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)


def _key(location: tuple[int | str, ...]) -> str:
    """Return the dotted place of a validation error, without pydantic's tags for members of a union."""
    kinds = {"file", "wheel", "sql", "openml", "bool", "int", "float", "str"}
    return ".".join(str(part) for part in location if part not in kinds)
