"""The bodies of bias tests: rows, a data set or a window of live traffic, and what is wrong with a body."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError

from assessment.options import Label, MeasuringOptions, ModelOptions
from assessment.request import BiasTestRequest
from bentos.errors import InvalidRequestError
from monitoring.times import Time

_UNION_PARTS = frozenset({"bool", "int", "float", "str", "constrained-float"})
_SCALAR = "it must be text, a boolean or a finite number"

Model = TypeVar("Model", bound=BaseModel)


class TrafficWindow(BaseModel):
    """Which live traffic: served in [since, until), by a variant or version where one is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: Time | None = None
    until: Time | None = None
    variant: str | None = None
    version: str | None = None


class TrafficTestRequest(MeasuringOptions):
    """A bias test of live traffic; fields as in `assessment.request.BiasTestRequest`."""

    window: TrafficWindow
    favourable: Label
    model: str | None = None
    protected: tuple[str, ...] | None = None


class TableTestRequest(ModelOptions):
    """A bias test of an uploaded data set: scored by a version, or by the predictions in one of its columns."""

    dataset: str
    favourable: Label
    protected: Annotated[tuple[str, ...], Field(min_length=1)]
    label: str | None = None
    prediction: str | None = None
    model: str | None = None
    version: str | None = None
    alias: str | None = None


AnyRequest = BiasTestRequest | TableTestRequest | TrafficTestRequest


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
