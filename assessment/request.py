"""What a bias test is asked with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from assessment.errors import (
    ConflictingReferenceError,
    EmptyTestError,
    FeaturesNeededError,
    MissingFeaturesError,
    NoProtectedAttributeError,
    RowCountError,
)
from assessment.options import Label, ModelOptions

_CONFIG = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class BiasTestInstance(BaseModel):
    """One person: what the model sees, which groups they belong to, and what turned out to be true."""

    model_config = _CONFIG

    features: dict[str, Any] | None = None
    """As in `POST /predict`; not needed where predictions are sent."""
    protected: dict[str, Label | None] = Field(default_factory=dict)
    """Protected attributes by name; a missing one is the group "unknown"."""
    outcome: Label | None = None
    """The true label, where it is known."""
    unit: str | None = None
    """Taken so that rows of `POST /predict` can be sent as they are; a bias test has no traffic split."""
    id: str | None = None
    """The caller's own id of the row; not used."""


class BiasTestRequest(ModelOptions):
    """A bias test of rows in the body: scored by the model, or with the predictions that came of them."""

    model: str | None = None
    """The model's name; may be left out when one model is served, or with `predictions`."""
    version: str | None = None
    """Which version; else the one behind `alias`."""
    alias: str | None = None
    """Which alias; the champion where neither is said."""
    favourable: Label
    """The label one would rather get. It cannot be guessed: 1 may mean "will re-offend"."""
    instances: tuple[BiasTestInstance, ...] = Field(fail_fast=True)
    """The rows."""
    predictions: tuple[Label, ...] | None = Field(default=None, fail_fast=True)
    """One per row: what the model decided. Left out, the rows are scored."""
    protected: tuple[str, ...] | None = None
    """The attributes to test; all that come with the rows where it is left out."""

    def check(self) -> None:
        """Refuse what cannot be tested, before a row is scored.

        Raises:
            AssessmentError: The kind that says what is wrong.
        """
        if (self.version and self.alias) or (self.model is None and (self.version or self.alias)):
            raise ConflictingReferenceError
        if not self.instances:
            raise EmptyTestError
        self.attributes()
        if self.predictions is None:
            for row, instance in enumerate(self.instances):
                if instance.features is None:
                    raise MissingFeaturesError(row)
            return
        if len(self.predictions) != len(self.instances):
            raise RowCountError(len(self.predictions), len(self.instances))
        if self.flip:
            raise FeaturesNeededError("flip", "leave out `predictions`, and the model is asked")
        if self.proxies and any(instance.features is None for instance in self.instances):
            raise FeaturesNeededError("proxies", "send `features` with each row")

    def attributes(self) -> tuple[str, ...]:
        """Return the names of the attributes to test.

        Raises:
            NoProtectedAttributeError: There is none, or one that was asked for is in no row.
        """
        return chosen_attributes([instance.protected for instance in self.instances], self.protected)


def chosen_attributes(rows: Sequence[dict[str, Any]], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the attributes asked for, or all that any row has, each once."""
    sent = tuple(dict.fromkeys(name for row in rows for name in row))
    if wanted is None:
        if not sent:
            raise NoProtectedAttributeError
        return sent
    for attribute in wanted:
        if attribute not in sent:
            raise NoProtectedAttributeError(attribute, sent)
    if not wanted:
        raise NoProtectedAttributeError
    return tuple(dict.fromkeys(wanted))
