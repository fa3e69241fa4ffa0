"""The record of a test, as FairMind keeps it: what was tested, for whom, and what came out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

LONGEST_ID: Final = 200
LONGEST_MODEL_ID: Final = 500
_DEEPEST: Final = 64


def _plain(value: Any, depth: int = 0) -> Any:
    """Return JSON-able values: numpy's as Python's own, what JSON does not know as text."""
    if depth > _DEEPEST:
        raise ValueError(f"it may be nested {_DEEPEST} deep")
    if isinstance(value, Mapping):
        return {_text(str(key)): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in value]
    if value is None or type(value) in {int, float, bool}:
        return value
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), depth + 1)
    return _text(str(value))


def _text(value: str) -> str:
    """Return text that every encoding takes: what a model has said may hold halves of characters."""
    return value if value.isascii() else value.encode(errors="replace").decode()


JsonObject = Annotated[dict[str, Any], BeforeValidator(_plain)]
"""What JSON can carry, nested 64 deep at most; of other things their values as Python's own, or as text."""


class BiasTestType(StrEnum):
    """What was tested, in FairMind's words."""

    ML_BIAS = "ml_bias"  # decisions of a model, per group
    LLM_BIAS = "llm_bias"  # texts of a language model; measured elsewhere, kept here


class BiasTestRecord(BaseModel):
    """One test: who ran it, on which model and data, and what came out.

    Numbers in `results` and `metadata` may be NaN or infinite, which only the providers' metrics leave out. `html`
    is the report for people, where there is one.
    """

    # Kept on disk with its NaN: what is not finite has to be told from what is null.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, ser_json_inf_nan="constants")

    id: str = Field(min_length=1, max_length=LONGEST_ID)
    user_id: str = Field(default="", max_length=LONGEST_ID)
    model_id: str = Field(min_length=1, max_length=LONGEST_MODEL_ID)
    dataset_id: str | None = Field(default=None, max_length=LONGEST_MODEL_ID)
    test_type: BiasTestType
    results: JsonObject
    metadata: JsonObject = Field(default_factory=dict)
    created_at: AwareDatetime
    html: str | None = None

    @classmethod
    def of(
        cls,
        test_id: str,
        model_id: str,
        test_type: str,
        results: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        *,
        user_id: str = "",
        dataset_id: str | None = None,
        created_at: datetime | None = None,
        html: str | None = None,
    ) -> Self:
        """Return the record of a test that was just run.

        Raises:
            ValueError: A part is missing, too long, or nested more than 64 deep.
        """
        return cls(
            id=test_id,
            user_id=user_id,
            model_id=model_id,
            dataset_id=dataset_id,
            test_type=BiasTestType(test_type),
            results=results,
            metadata=metadata or {},
            created_at=created_at or datetime.now(UTC),
            html=html,
        )

    @property
    def delivery_id(self) -> str:
        """What names the run of this record at a provider: 32 hexadecimal digits of its content.

        The same test sent again is the same run, whenever it is sent; another test under the same id is not.
        """
        content = self.model_dump(mode="json", exclude={"created_at", "html"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def run_name(self) -> str:
        """What the run is called; ends in its delivery id, so that no two tests' runs have one name."""
        return f"{self.test_type}_{self.id[:80]}_{self.delivery_id[:8]}"
