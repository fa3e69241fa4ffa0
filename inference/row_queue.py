"""What every protocol asks for predictions: the batch queue of a model that is here, or calls of a remote one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from inference.runtime import EncodedColumns
from inference.served_model import Predictions
from inference.signature import Signature


class Answering(Protocol):
    """A model version as far as those who ask it have to know it."""

    @property
    def signature(self) -> Signature:
        """What it accepts and answers."""
        ...

    @property
    def is_remote(self) -> bool:
        """Whether it answers from another process or machine, and may name its values itself."""
        ...


class RowQueue(Protocol):
    """The way to one model version in one worker. Belongs to one event loop."""

    name: str
    version: str

    @property
    def model(self) -> Answering:
        """What answers."""
        ...

    async def predict(
        self,
        columns: EncodedColumns,
        rows: int,
        deadline: float | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Predictions:
        """Return the predictions of `rows` rows; `deadline` is on the clock of `time.perf_counter`.

        Raises:
            InferenceError: They cannot be had, and why.
        """
        ...

    @property
    def queued_rows(self) -> int:
        """The rows that wait for a call of the model to begin."""
        ...

    async def drain(self) -> None:
        """Take no more requests and return when those taken are answered."""
        ...
