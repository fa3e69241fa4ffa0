"""What a bias test can be asked of, and how it is measured: rows in the body, a data set, or live traffic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError

from assessment.bias_test import run
from assessment.columns import Labels, Subject, assess_columns
from assessment.data_sets import DataSet, DataSets
from assessment.errors import ConflictingReferenceError, MissingColumnError, NotAClassifierError
from assessment.fairmind import DetectRequest
from assessment.request import BiasTestRequest, Label
from assessment.result import BiasTestResult, DataSource
from assessment.table import labels, score, table_columns
from assessment.traffic import assess_traffic
from bentos.companion import Companion
from bentos.errors import InvalidRequestError
from bentos.tested_models import TestedModels, Told
from fairness.gate import BiasPolicy
from monitoring.identifiers import new_request_id
from monitoring.windows import window

_DEFAULT_WINDOW = timedelta(days=30)
_UNION_PARTS = frozenset({"bool", "int", "float", "str", "constrained-float"})
_SCALAR = "it must be text, a boolean or a finite number"

_CONFIG = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
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

    model_config = _CONFIG

    window: TrafficWindow
    favourable: Label
    model: str | None = None
    protected: tuple[str, ...] | None = None
    policy: BiasPolicy | None = None
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    minimum_rows: int = Field(default=30, ge=1)


class TableTestRequest(BaseModel):
    """A bias test of an uploaded data set: scored by a version, or by the predictions in one of its columns."""

    model_config = _CONFIG

    dataset: str
    favourable: Label
    protected: Annotated[tuple[str, ...], Field(min_length=1)]
    label: str | None = None
    prediction: str | None = None
    model: str | None = None
    version: str | None = None
    alias: str | None = None
    policy: BiasPolicy | None = None
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    minimum_rows: int = Field(default=30, ge=1)


AnyRequest = BiasTestRequest | TableTestRequest | TrafficTestRequest


def _not_told(_rows: int) -> None:
    """Hear of progress and do nothing: somebody waits for the answer."""


class BiasTests:
    """Measures with what the Companion holds: serving state, model copies, data sets, prediction log."""

    def __init__(self, companion: Companion, data_sets: DataSets) -> None:
        self._companion, self._data_sets = companion, data_sets
        self._models = TestedModels(companion)

    def rows(self, request: AnyRequest) -> int | None:
        """Return how many rows a test looks at, None where only the prediction log knows.

        Raises:
            DataSetNotFoundError: There is no such data set.
        """
        if isinstance(request, BiasTestRequest):
            return len(request.instances)
        return self._data_sets.find(request.dataset).rows if isinstance(request, TableTestRequest) else None

    def check(self, request: AnyRequest) -> str | None:
        """Refuse now what would be refused later, as far as that is quick; return the model that is tested.

        Raises:
            AssessmentError: The rows cannot be tested.
            ModelNotServedError: The model or version is not there.
            NotReadyError: The version has to be prepared first, which was begun; or it cannot be: says why.
        """
        if isinstance(request, TrafficTestRequest):
            return self._models.state(request.model).model
        if isinstance(request, BiasTestRequest):
            request.check()
            scores = request.predictions is None
        else:
            _check_table(request, self._data_sets.find(request.dataset))
            scores = request.prediction is None
        if not scores:
            return request.model
        state = self._models.state(request.model)
        if not self._models.classes(state.model, self._models.version(state, request.version, request.alias)):
            raise NotAClassifierError(state.model)
        return state.model

    def run(
        self,
        request: AnyRequest,
        *,
        test_id: str | None = None,
        now: datetime | None = None,
        told: Told = _not_told,
    ) -> BiasTestResult:
        """Return the result of a test; `told` hears how many rows have been scored.

        Raises:
            AssessmentError: The rows cannot be tested.
            ModelNotServedError: The model or version is not there.
            NotReadyError: The version has to be prepared first, which was begun; or it cannot be: says why.
        """
        test_id, now = test_id or new_request_id(), now or datetime.now(UTC)
        if isinstance(request, TrafficTestRequest):
            return self._traffic(request, test_id, now)
        if isinstance(request, TableTestRequest):
            return self._table(request, test_id, now, told)
        return run(
            request,
            lambda asked: self._models.score(asked, told),
            test_id=test_id,
            created_at=now,
            generator=np.random.default_rng(0),  # the same rows give the same intervals
        )

    def detect(self, request: DetectRequest, *, test_id: str, now: datetime) -> BiasTestResult:
        """Return the result of a test that FairMind asked for: of the predictions in a data set.

        Raises:
            AssessmentError: There is no such data set or column, or it cannot be tested.
        """
        asked = TableTestRequest(
            dataset=request.dataset_id,
            favourable=request.positive_label,
            protected=(request.protected_attribute,),
            label=request.ground_truth_column,
            prediction=request.prediction_column,
            model=request.model_id,
            policy=request.policy,
        )
        return self._table(asked, test_id, now, _not_told)

    def _table(self, request: TableTestRequest, test_id: str, now: datetime, told: Told) -> BiasTestResult:
        data_set = self._data_sets.find(request.dataset)
        _check_table(request, data_set)
        model, version, classes = request.model, request.version, tuple[Any, ...]()
        measured = [*request.protected, *(name for name in (request.label, request.prediction) if name is not None)]
        if request.prediction is None:
            model, version, classes, predictions = self._scored(request, data_set, told)
        frame = self._data_sets.read(data_set, measured)
        if request.prediction is not None:
            predictions = labels(frame[request.prediction])
        result = assess_columns(
            Subject(
                model=model,
                model_version=version,
                source=DataSource.PREDICTIONS if request.prediction is not None else DataSource.TABLE,
                test_id=test_id,
                created_at=now,
            ),
            table_columns(frame, predictions, label=request.label, protected=request.protected),
            favourable=request.favourable,
            classes=classes,
            policy=request.policy,
            alpha=request.alpha,
            minimum_rows=request.minimum_rows,
            generator=np.random.default_rng(0),
        )
        return result.model_copy(update={"dataset": data_set.id})

    def _scored(
        self, request: TableTestRequest, data_set: DataSet, told: Told
    ) -> tuple[str, str, tuple[Any, ...], Labels]:
        state = self._models.state(request.model)
        version = self._models.version(state, request.version, request.alias)
        with self._models.opened(state.model, version) as served:
            if not served.signature.classes:
                raise NotAClassifierError(state.model)
            batches = self._data_sets.batches(data_set, [column.name for column in served.signature.columns])
            predictions = score(batches, served, told)
            return state.model, version.version, served.signature.classes, predictions

    def _traffic(self, request: TrafficTestRequest, test_id: str, now: datetime) -> BiasTestResult:
        state = self._models.state(request.model)
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
            test_id=test_id,
            created_at=now,
            classes=self._models.classes(state.model, state.champion),
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


def parse(body: dict[str, Any]) -> tuple[AnyRequest, bool]:
    """Return the test that a body asks for, and whether it is to run as a task however small it is.

    Raises:
        InvalidRequestError: A field is missing, unknown or of another type; says which.
    """
    # Clients built from the schema send every argument, those left out as null.
    given = {key: value for key, value in body.items() if value is not None}
    as_task = given.pop("task", False)
    if not isinstance(as_task, bool):
        raise InvalidRequestError("task: true or false")
    named = [name for name in ("instances", "dataset", "window") if name in given]
    if len(named) > 1:
        raise InvalidRequestError(f"{named[0]} and {named[1]} are two tests; send one of them")
    kind: type[AnyRequest] = BiasTestRequest
    if named == ["window"]:
        kind = TrafficTestRequest
    elif named == ["dataset"]:
        kind = TableTestRequest
    return parsed(kind, given), as_task


def parsed(kind: type[Model], body: Any) -> Model:
    """Return a body as the model it has to be.

    Raises:
        InvalidRequestError: A field is missing, unknown or of another type; says which.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place, told = list(first["loc"]), str(first["msg"])
        if place and place[-1] in _UNION_PARTS and place[-1] not in body:
            place, told = place[:-1], _SCALAR  # pydantic tells why it is not the first of the kinds it may be
        where = ".".join(str(part) for part in place)
        raise InvalidRequestError(f"{where}: {told}" if where else told) from None


def check_text(model: BaseModel) -> None:
    """Refuse text that no database keeps and no answer can be encoded with.

    Raises:
        InvalidRequestError: It is there.
    """
    try:
        is_text = "\\u0000" not in model.model_dump_json()
    except PydanticSerializationError:
        is_text = False
    if not is_text:
        raise InvalidRequestError(
            "a name or a group holds a zero byte or half of a surrogate pair; send Unicode text"
        )


def _check_table(request: TableTestRequest, data_set: DataSet) -> None:
    named = bool(request.version), bool(request.alias)
    if request.prediction is None and (all(named) or (request.model is None and any(named))):
        raise ConflictingReferenceError
    for column in (*request.protected, request.label, request.prediction):
        if column is not None and column not in data_set.columns:
            raise MissingColumnError(column, list(data_set.columns))
