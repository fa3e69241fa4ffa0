"""The versions that bias tests score: what serves, and whatever else is registered."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from assessment.bias_test import Scored
from assessment.flips import Flipping
from assessment.request import BiasTestRequest
from bentos.companion import Companion
from bentos.errors import AmbiguousModelError, ModelNotServedError, NotReadyError
from inference.columns import columns_from_rows
from inference.loading import SIGNATURE_FILE, load_model
from inference.runtime import EncodedColumns, RemoteRuntime
from inference.served_model import Predictions, ServedModel
from inference.signature import Signature
from registry.reference import Reference
from remotes.blocking import BlockingRemote
from remotes.definition import is_remote, read_remote
from rollout.serving_state import ServedVersion, ServingState
from rollout.serving_store import serving_states
from runners.loading import load_runner
from runners.preparation import FAIRMIND_FOLDER

_ROWS_PER_CALL = 10_000
_LOADED_VERSIONS = 8

Told = Callable[[int], None]
"""Hears how many rows have been scored."""


class TakingTurns:
    """A served model for several threads: a runtime is safe from one at a time."""

    def __init__(self, served: ServedModel | BlockingRemote, turn: threading.Lock) -> None:
        self._served, self._turn = served, turn
        self.signature = served.signature

    def predict(self, columns: EncodedColumns, rows: int) -> Predictions:
        """Return what the model predicts, once it is free."""
        with self._turn:
            return self._served.predict(columns, rows)


class TestedModels:
    """Finds, loads and asks versions with what the Companion holds: serving state, registry, model copies."""

    __test__ = False  # no test of pytest's

    def __init__(self, companion: Companion) -> None:
        self._companion = companion
        self._load = lru_cache(_LOADED_VERSIONS)(load_model)
        self._scoring = threading.Lock()

    def state(self, model: str | None) -> ServingState:
        """Return the serving state of a model, of the only one where none is named.

        Raises:
            AmbiguousModelError: None is named and several are served.
            ModelNotServedError: It is not served.
        """
        states = serving_states(self._companion.control)
        if model is None:
            if len(states) > 1:
                raise AmbiguousModelError(sorted(states))
            if not states:
                raise ModelNotServedError("")
            return next(iter(states.values()))
        if model not in states:
            raise ModelNotServedError(model)
        return states[model]

    def find(self, model: str | None, version: str | None, alias: str | None) -> tuple[str, ServedVersion]:
        """Return a model's name and the version that is named by its number or alias; the champion where it is not.

        A registered version is found whether or not its model is served.

        Raises:
            AmbiguousModelError: No model is named and several are served.
            ModelNotServedError: It is not served, and no version or alias is named.
            ModelNotFoundError: There is no such version or alias.
        """
        named = bool(version or alias)
        if model is not None and named and model not in serving_states(self._companion.control):
            return model, self._registered(model, version, alias)
        state = self.state(model)
        if not version and alias in {None, "", "champion"}:
            return state.model, state.champion
        if not version and alias == "challenger" and state.challenger is not None:
            return state.model, state.challenger
        return state.model, self._registered(state.model, version, alias)

    def classes(self, name: str, version: ServedVersion) -> tuple[Any, ...]:
        """Return the labels that a version can answer; none for a regressor.

        Raises:
            NotReadyError: It has to be prepared first, which was begun; or it cannot be: says why.
        """
        path = self._folder(name, version) / FAIRMIND_FOLDER / SIGNATURE_FILE
        return Signature.model_validate_json(path.read_bytes()).classes

    @contextmanager
    def opened(self, name: str, version: ServedVersion) -> Iterator[TakingTurns]:
        """Yield a version ready to predict.

        Raises:
            NotReadyError: As for `classes`.
        """
        folder = self._folder(name, version)
        if is_remote(folder):
            with contextlib.closing(BlockingRemote(read_remote(folder))) as remote:
                yield TakingTurns(remote, threading.Lock())  # a slow server keeps nobody else from scoring
            return
        if not folder.is_relative_to(self._companion.home.prepared):
            yield TakingTurns(self._load(folder / FAIRMIND_FOLDER), self._scoring)
            return
        # Files from elsewhere may say how they want to be run; only what was prepared here is run.
        served = load_runner(folder, self._companion.settings.runners)
        try:
            yield TakingTurns(served, self._scoring)
        finally:
            if isinstance(served.runtime, RemoteRuntime):
                served.runtime.close()

    def score(self, request: BiasTestRequest, told: Told) -> Scored:
        """Return what the version that a request names decides about its rows."""
        model, version = self.find(request.model, request.version, request.alias)
        features = [instance.features for instance in request.instances]
        predictions: list[Any] = []
        with self.opened(model, version) as served:
            flipping = Flipping(served, request.flip, request.favourable)
            for start in range(0, len(features), _ROWS_PER_CALL):
                rows = features[start : start + _ROWS_PER_CALL]
                columns = columns_from_rows(rows, served.signature)
                predictions += flipping.predict(columns, len(rows)).prediction.tolist()
                told(len(predictions))
        classes = served.signature.classes
        return Scored(model, version.version, classes, predictions, flipping.reports())

    def _registered(self, model: str, version: str | None, alias: str | None) -> ServedVersion:
        reference = Reference(model, version=version or None, alias=None if version else alias)
        found = self._companion.registry.find(reference)
        return ServedVersion(version=found.version, digest=found.digest)

    def _folder(self, name: str, version: ServedVersion) -> Path:
        """Return where the version is loaded from: as the workers do, or as they would."""
        folder = self._companion.folders.find(name, version)
        if folder is not None:
            return folder
        located = self._companion.folders.obtain_other(name, version)
        if located.folder is None:
            raise NotReadyError(
                f"{name}/{version.version} was made elsewhere and serves nobody: it has to be prepared before it "
                f"can be tested, which was begun ({located.problem}); ask again"
            )
        return located.folder
