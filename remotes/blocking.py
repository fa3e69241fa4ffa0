"""A remote model for whoever has rows to score and no event loop: bias tests."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from inference.arrays import array_of
from inference.runtime import EncodedColumns
from inference.served_model import Predictions
from remotes.answers import read_answer
from remotes.client import Answer, RemoteClient
from remotes.clients import open_client
from remotes.definition import RemoteModel
from remotes.errors import RemoteMismatchError


class BlockingRemote:
    """Scores rows by a remote server, at most `max_batch_rows` a call, one call after the other.

    Nothing but the registered version is taken for it: another one that answers is an error.
    """

    def __init__(self, model: RemoteModel) -> None:
        self.signature = model.signature
        self._model = model
        self._runner = asyncio.Runner()
        self._client: RemoteClient = open_client(model)

    def predict(self, columns: EncodedColumns, rows: int) -> Predictions:
        """Return the predictions of `rows` rows.

        Raises:
            RemoteError: The server gives none, or another version of it does.
        """
        most = self._model.definition.max_batch_rows
        parts = [self._once(columns, start, min(start + most, rows)) for start in range(0, rows, most)]
        probabilities = [part.probabilities for part in parts if part.probabilities is not None]
        return Predictions(
            np.concatenate([part.prediction for part in parts]),
            np.concatenate(probabilities) if probabilities else None,
        )

    def close(self) -> None:
        """End its connections."""
        self._runner.run(self._client.close())
        self._runner.close()

    def _once(self, columns: EncodedColumns, start: int, end: int) -> Predictions:
        part: dict[str, Any] = {name: array_of(values)[start:end] for name, values in columns.items()}
        seconds = self._model.definition.timeout_seconds
        answer: Answer = self._runner.run(self._client.score(part, end - start, seconds=seconds))
        registered = self._model.definition.version
        if answer.version is not None and answer.version != registered:
            raise RemoteMismatchError(
                f"version {answer.version} answered, and {registered or 'none'} is registered"
            )
        return read_answer(answer, end - start, self._model)
