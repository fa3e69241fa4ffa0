"""`POST /bias_test`: rows in the body scored by a served version, predictions sent along, or live traffic."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from assessment.bias_test import Scored, run
from assessment.request import BiasTestRequest, Label
from assessment.result import BiasTestResult
from assessment.traffic import assess_traffic
from bentos.companion import Companion
from bentos.errors import AmbiguousModelError, InvalidRequestError, ModelNotServedError, NotReadyError
from fairness.gate import BiasPolicy
from inference.columns import columns_from_rows
from inference.loading import SIGNATURE_FILE, load_model
from inference.runtime import RemoteRuntime
from inference.served_model import ServedModel
from inference.signature import Signature
from monitoring.identifiers import new_request_id
from monitoring.windows import window
from registry.reference import Reference
from rollout.serving_state import ServedVersion, ServingState
from rollout.serving_store import serving_states
from runners.loading import load_runner
from runners.preparation import FAIRMIND_FOLDER

_ROWS_PER_CALL = 10_000
_DEFAULT_WINDOW = timedelta(days=30)
_LOADED_VERSIONS = 8

Model = TypeVar("Model", bound=BaseModel)


class TrafficWindow(BaseModel):
    """Which live traffic: served in [since, until), by a variant or version where one is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    variant: str | None = None
    version: str | None = None


class TrafficTestRequest(BaseModel):
    """A bias test of live traffic; fields as in `assessment.request.BiasTestRequest`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    window: TrafficWindow
    favourable: Label
    model: str | None = None
    protected: tuple[str, ...] | None = None
    policy: BiasPolicy | None = None
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    minimum_rows: int = Field(default=30, ge=1)


class BiasTests:
    """Runs bias tests with what the Companion holds: serving state, model copies, prediction log."""

    def __init__(self, companion: Companion) -> None:
        self._companion = companion
        self._load = lru_cache(_LOADED_VERSIONS)(load_model)
        self._scoring = threading.Lock()

    def run(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the result of the test that `body` asks for, as JSON-able values.

        Raises:
            InvalidRequestError: A field is missing, unknown or of another type; says which.
            AssessmentError: The rows cannot be tested.
            ModelNotServedError: The model or version is not there.
            NotReadyError: The version has to be prepared first, which was begun; or it cannot be: says why.
        """
        # Clients built from the schema send every argument, those left out as null.
        given = {key: value for key, value in body.items() if value is not None}
        now = datetime.now(UTC)
        if "window" in given:
            result = self._traffic(_parse(TrafficTestRequest, given), now)
        else:
            generator = np.random.default_rng(0)  # the same rows give the same intervals
            result = run(
                _parse(BiasTestRequest, given),
                self._score,
                test_id=new_request_id(),
                created_at=now,
                generator=generator,
            )
        return result.model_dump(mode="json")

    def _traffic(self, request: TrafficTestRequest, now: datetime) -> BiasTestResult:
        state = self._state(request.model)
        until = request.window.until or now
        found = window(
            self._companion.log,
            state.model,
            since=request.window.since or until - _DEFAULT_WINDOW,
            until=until,
            variant=request.window.variant,
            model_version=request.window.version,
        )
        result = assess_traffic(
            found.rows,
            model=state.model,
            favourable=request.favourable,
            test_id=new_request_id(),
            created_at=now,
            classes=self._classes(state.model, state.champion),
            protected=request.protected,
            policy=request.policy,
            alpha=request.alpha,
            minimum_rows=request.minimum_rows,
            generator=np.random.default_rng(0),
        )
        if not found.truncated:
            return result
        note = f"only the newest {len(found.rows):,} rows of the window are tested"
        return result.model_copy(update={"notes": (*result.notes, note)})

    def _score(self, request: BiasTestRequest) -> Scored:
        state = self._state(request.model)
        version = self._version(state, request)
        features = [instance.features for instance in request.instances]
        predictions: list[Any] = []
        with self._model(state.model, version) as served:
            for start in range(0, len(features), _ROWS_PER_CALL):
                rows = features[start : start + _ROWS_PER_CALL]
                columns = columns_from_rows(rows, served.signature)
                with self._scoring:  # a runtime is safe from one thread at a time, and requests come from several
                    answer = served.predict(columns, len(rows))
                predictions += answer.prediction.tolist()
        return Scored(state.model, version.version, served.signature.classes, predictions)

    def _state(self, model: str | None) -> ServingState:
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

    def _version(self, state: ServingState, request: BiasTestRequest) -> ServedVersion:
        if request.version is None and request.alias in {None, "champion"}:
            return state.champion
        if request.version is None and request.alias == "challenger" and state.challenger is not None:
            return state.challenger
        reference = Reference(
            state.model, version=request.version, alias=None if request.version else request.alias
        )
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

    @contextmanager
    def _model(self, name: str, version: ServedVersion) -> Iterator[ServedModel]:
        folder = self._folder(name, version)
        if not folder.is_relative_to(self._companion.home.prepared):
            yield self._load(folder / FAIRMIND_FOLDER)
            return
        # Files from elsewhere may say how they want to be run; only what was prepared here is run.
        served = load_runner(folder, self._companion.settings.runners)
        try:
            yield served
        finally:
            if isinstance(served.runtime, RemoteRuntime):
                served.runtime.close()

    def _classes(self, name: str, version: ServedVersion) -> tuple[Any, ...]:
        path = self._folder(name, version) / FAIRMIND_FOLDER / SIGNATURE_FILE
        return Signature.model_validate_json(path.read_bytes()).classes


def _parse(kind: type[Model], body: dict[str, Any]) -> Model:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidRequestError(f"{where}: {first['msg']}" if where else str(first["msg"])) from None
