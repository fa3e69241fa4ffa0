"""From a URL to a remote model: asks the server what it is, and tries it with a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.decision import Decision
from inference.made_rows import any_row
from inference.signature import Column, ColumnType, Signature, Task
from remotes.answers import read_answer
from remotes.client import Answer, Described, RemoteClient, Tensor
from remotes.clients import open_client
from remotes.definition import Output, Reading, RemoteDefinition, RemoteModel, RemoteProtocol
from remotes.errors import InvalidRemoteError, RemoteFailedError, RemoteMismatchError, RemoteRefusedError
from remotes.oip_inputs import DTYPES
from remotes.readings import guess_outputs, seen_in_answer, seen_in_metadata

_TYPES: Final[Mapping[str, ColumnType]] = {"B": ColumnType.BOOLEAN, "F": ColumnType.DOUBLE}
_UNKNOWN: Final = (Output(reading=Reading.VALUE),)
_PLACEHOLDER: Final = Signature(columns=(), task=Task.OPAQUE)


class RemoteWish(BaseModel):
    """What somebody says of a remote server; the rest it is asked for.

    `model` is the model's name there, `pinned` one of its versions. `classes` are its labels in the order of its
    probabilities, the favourable or positive one of two last, where neither the signature nor the server tells.
    `outputs` say how what it answers is read, where that cannot be told.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    url: str
    """`http://…` or `https://…`; `grpc://HOST:PORT` or `grpcs://…` for gRPC."""
    protocol: RemoteProtocol = RemoteProtocol.OIP
    model: str | None = None
    pinned: str | None = None
    classes: tuple[bool | int | float | str, ...] = ()
    outputs: tuple[Output, ...] = ()
    is_regression: bool = False
    threshold: float | None = Field(default=None, ge=0, le=1)
    timeout_seconds: float = Field(default=2.0, gt=0, le=600)
    max_in_flight: int = Field(default=64, ge=1)
    token_env: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A remote model, and what is to be known of how it was made."""

    model: RemoteModel
    notes: tuple[str, ...]


async def make_remote(wish: RemoteWish, signature: Signature | None) -> Made:
    """Return the remote model that a wish describes; `signature` is what it takes, where the server does not say.

    Raises:
        RemoteError: The server does not answer as it has to.
        InvalidRemoteError: What it and the wish say together is not enough, or does not fit.
    """
    described = await _with_client(_provisional(wish, _PLACEHOLDER, Described()), _describe)
    known = _with_classes(wish, signature or _described_signature(described), described)
    provisional = _provisional(wish, known, described)
    outputs = wish.outputs
    notes: list[str] = []
    if not outputs:
        seen = seen_in_metadata(described.outputs)
        if not seen:
            seen = await _seen_in_trial(provisional, notes)
        outputs = guess_outputs(seen, known)
    model = _made(wish, provisional.definition.model_copy(update={"outputs": outputs}), known)
    version = await _try(model, notes)
    if version is not None and version != model.definition.version:
        changed = model.definition.model_copy(update={"version": version})
        model = model.model_copy(update={"definition": changed})
    if model.definition.version is None:
        notes.append("it reports no version: whether it is changed cannot be seen from here")
    return Made(model, tuple(notes))


def _made(wish: RemoteWish, definition: RemoteDefinition, signature: Signature) -> RemoteModel:
    try:
        return RemoteModel(definition=definition, signature=signature, decision=Decision(threshold=wish.threshold))
    except ValidationError as error:
        raise _invalid(error) from error


def _invalid(error: ValidationError) -> InvalidRemoteError:
    first = error.errors(include_url=False, include_input=False)[0]
    return InvalidRemoteError(first["msg"].removeprefix("Value error, "))


async def _with_client(model: RemoteModel, ask: Any) -> Any:
    client = open_client(model)
    try:
        return await ask(client, model)
    finally:
        await client.close()


async def _describe(client: RemoteClient, model: RemoteModel) -> Described:
    return await client.describe(seconds=max(5.0, model.definition.timeout_seconds))


async def _score(client: RemoteClient, model: RemoteModel) -> Answer:
    return await client.score(any_row(model.signature), 1, seconds=max(5.0, model.definition.timeout_seconds))


async def _seen_in_trial(model: RemoteModel, notes: list[str]) -> Any:
    """Return the outputs that a made-up row is answered with; the prediction alone where it is refused."""
    try:
        answer = await _with_client(model, _score)
    except RemoteRefusedError:
        notes.append("it refused a made-up row: how its answers are read is guessed")
        return seen_in_answer({None: [0]})
    return seen_in_answer(answer.outputs)


async def _try(model: RemoteModel, notes: list[str]) -> str | None:
    """Return the version that answers a made-up row; what does not fit is found here and not by a caller.

    Raises:
        InvalidRemoteError: The answer is not what it is to be read as.
    """
    try:
        answer: Answer = await _with_client(model, _score)
        read_answer(answer, 1, model)
    except (RemoteRefusedError, RemoteFailedError) as error:
        notes.append(f"it was not tried: a made-up row was not answered ({error})")
        return None
    except RemoteMismatchError as error:
        hint = "say how it is to be read with --output and --classes"
        raise InvalidRemoteError(f"{error}; {hint}") from error
    return answer.version


def _provisional(wish: RemoteWish, signature: Signature, described: Described) -> RemoteModel:
    """Return the remote model as far as it is known before its outputs are."""
    version = wish.pinned or (described.versions[-1] if described.versions else None)
    inputs = _inputs(signature, described) if signature.columns else {}
    values = {
        **wish.model_dump(include={"url", "protocol", "model", "pinned", "timeout_seconds", "max_in_flight"}),
        "token_env": wish.token_env,
        "version": version,
        "outputs": _UNKNOWN,
        **inputs,
    }
    try:
        definition = RemoteDefinition(**values)
    except ValidationError as error:
        raise _invalid(error) from error
    if wish.protocol.is_oip and any(column.type is ColumnType.ANY for column in signature.columns):
        raise InvalidRemoteError("columns of any type have no datatype: give a signature that names their types")
    return RemoteModel.model_construct(definition=definition, signature=signature, decision=Decision())


def _inputs(signature: Signature, described: Described) -> dict[str, Any]:
    """Return how the signature's columns are sent to what the server says it takes.

    Raises:
        InvalidRemoteError: It takes something else.
    """
    names = [column.name for column in signature.columns]
    there = {one.name: one for one in described.inputs}
    if not there:
        return {"layout": "matrix" if signature.matrix else "columns"}
    for one in described.inputs:
        if one.datatype not in DTYPES:
            raise InvalidRemoteError(f"its input '{one.name}' is {one.datatype}, which is not spoken here")
    first = described.inputs[0]
    if len(there) == 1 and _is_matrix(first) and first.name not in names:
        width = first.shape[-1]
        if width not in {-1, len(names)}:
            raise InvalidRemoteError(f"it takes a matrix of {width} columns, the signature has {len(names)}")
        return {"layout": "matrix", "matrix_name": first.name, "datatypes": {first.name: first.datatype}}
    missing, unknown = sorted(set(names) - set(there)), sorted(set(there) - set(names))
    if missing or unknown:
        what = (
            f"no input '{missing[0]}'" if missing else f"an input '{unknown[0]}' that the signature does not name"
        )
        raise InvalidRemoteError(f"it has {what}")
    is_tall = all(_is_matrix(one) for one in described.inputs)
    return {"datatypes": {name: there[name].datatype for name in names}, "is_tall": is_tall}


def _is_matrix(tensor: Tensor) -> bool:
    return len(tensor.shape) == 2


def _described_signature(described: Described) -> Signature:
    """Return the signature of what metadata describe; of missing values they say nothing: numbers may be missing.

    Raises:
        InvalidRemoteError: They describe no inputs.
    """
    if not described.inputs:
        raise InvalidRemoteError(
            "the server does not say which columns it takes: say it with --signature, by a registered version "
            "(name/version) or a file"
        )
    first = described.inputs[0]
    if len(described.inputs) == 1 and _is_matrix(first) and first.shape[-1] > 1:
        kind = _column_type(first.datatype)
        columns = [_column(str(place), kind) for place in range(first.shape[-1])]
        return Signature(columns=tuple(columns), task=Task.OPAQUE, matrix=True)
    columns = [_column(one.name, _column_type(one.datatype)) for one in described.inputs]
    return Signature(columns=tuple(columns), task=Task.OPAQUE)


def _column(name: str, kind: ColumnType) -> Column:
    return Column(name=name, type=kind, nullable=kind is ColumnType.DOUBLE)


def _column_type(datatype: str) -> ColumnType:
    if datatype == "BYTES":
        return ColumnType.STRING
    return _TYPES.get(datatype[:1], ColumnType.LONG)


def _with_classes(wish: RemoteWish, signature: Signature, described: Described) -> Signature:
    """Return the signature with the classes, and with the task that follows from them."""
    told: Sequence[Any] = next((one.classes for one in described.outputs if one.classes), ())
    classes = tuple(wish.classes or signature.classes or told)
    if wish.is_regression:
        task, classes = Task.REGRESSION, ()
    elif classes:
        task = Task.BINARY if len(classes) == 2 else Task.MULTICLASS
    else:
        task = signature.task
    try:
        return Signature(
            columns=signature.columns,
            task=task,
            classes=classes,
            outputs=() if classes else signature.outputs,
            matrix=signature.matrix,
        )
    except ValidationError as error:
        raise _invalid(error) from error
