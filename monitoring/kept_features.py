"""Which features are written at all: those nobody may keep never leave the worker's memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

if TYPE_CHECKING:
    from monitoring.predictions import PredictionRecord

ALL_MODELS: Final = "*"
"""Stands for every model where features are named that are not kept."""


class KeptFeatures:
    """Takes features off records, and all of them off a share of the requests; predictions stay whole.

    Args:
        share: Of requests whose features are kept. A request's id decides, so that its parts go together.
        redacted: Names of features by model; those of `ALL_MODELS` are nobody's.
    """

    def __init__(self, *, share: float = 1.0, redacted: Mapping[str, Collection[str]] | None = None) -> None:
        self._end = share * 2**32
        self._redacted = {model: frozenset(names) for model, names in (redacted or {}).items() if names}
        self._everywhere = self._redacted.get(ALL_MODELS, frozenset())
        self.are_all = share >= 1 and not self._redacted

    def of(self, record: PredictionRecord) -> PredictionRecord:
        """Return a record with the features that may be written; it is the same where those are all."""
        if crc32(record.request_id.encode()) >= self._end:
            return replace(record, features=())
        names = self._redacted.get(record.model, frozenset()) | self._everywhere
        return replace(record, features=_without(record.features, names)) if names else record


def _without(features: Sequence[Mapping[str, Any]] | Mapping[str, Any], names: Collection[str]) -> Any:
    if isinstance(features, Mapping):
        return {name: values for name, values in features.items() if name not in names}
    return [{name: value for name, value in row.items() if name not in names} for row in features]
