"""Explains logged predictions, and rows that are brought along, for the command and for the API."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from explanation.background import Explainable, choose_background
from explanation.errors import ExplanationBusyError, NotExplainableError
from explanation.explanation import Explanation, explain
from explanation.policy import ExplanationPolicy
from monitoring.profile import ReferenceProfile
from registry.reference import Reference
from replay.reproduction import Found, Reproducer, row_of
from runners.preparation import FAIRMIND_FOLDER


class ExplainedPrediction(BaseModel):
    """Which version answers so, and why; `prediction_id` is None where the row was brought along."""

    model_config = ConfigDict(frozen=True)

    prediction_id: str | None
    model: str
    model_version: str
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class Explaining:
    """Explains one prediction at a time: it takes a processor for a moment, and there are others to answer.

    `reproducer` finds predictions and versions, and is nobody else's: an explanation holds the version it opened.
    """

    reproducer: Reproducer
    policy: ExplanationPolicy
    _one: threading.Lock = field(default_factory=threading.Lock)

    def logged(self, found: Found) -> ExplainedPrediction:
        """Return why a logged prediction is what it is.

        Raises:
            NotExplainableError: Its version or its features are not to be had.
            ExplanationError: Or it cannot be explained here or now.
        """
        if found.version.folder is None:
            raise NotExplainableError(found.version.problem)
        if found.features is None:
            raise NotExplainableError("the features it was made from are not kept, or not on this machine yet")
        logged = found.logged
        made = self._explain(
            (logged.model, logged.model_version), found.version.folder, found.features, logged.served_at
        )
        return ExplainedPrediction(
            prediction_id=logged.prediction_id,
            model=logged.model,
            model_version=logged.model_version,
            explanation=made,
        )

    def row(self, reference: Reference, features: Mapping[str, Any]) -> ExplainedPrediction:
        """Return why a version answers a row as it does.

        Raises:
            RegistryError: There is no such version, or it cannot be had.
            SignatureMismatchError: The row does not fit it.
            ExplanationError: It cannot be explained here or now.
        """
        version = self.reproducer.registry.find(reference)
        folder = self.reproducer.cache.fetch(self.reproducer.registry, version)
        made = self._explain((version.name, version.version), folder, features, datetime.now(UTC), is_logged=False)
        return ExplainedPrediction(
            prediction_id=None, model=version.name, model_version=version.version, explanation=made
        )

    def _explain(
        self,
        named: tuple[str, str],
        folder: Path,
        features: Mapping[str, Any],
        until: datetime,
        *,
        is_logged: bool = True,
    ) -> Explanation:
        if not self._one.acquire(blocking=False):
            raise ExplanationBusyError
        try:
            profile = ReferenceProfile.load(folder / FAIRMIND_FOLDER)
            with self.reproducer.opened(folder) as model:
                # A logged row may have columns of others: the store has one table for a version's releases.
                row = row_of(features, model.signature) if is_logged else features
                version = Explainable(*named, model.signature, profile)
                rows = choose_background(
                    self.reproducer.log, self.reproducer.store, version, until=until, policy=self.policy
                )
                return explain(model, row, rows, self.policy)
        finally:
            self._one.release()
