"""Two protocols that send rows as JSON and get predictions back: MLflow's scoring protocol and KServe V1."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from inference.runtime import EncodedColumns, plain_columns
from remotes.client import Answer, Described, Params
from remotes.connection import HttpConnection, parsed
from remotes.definition import RemoteModel
from remotes.errors import RemoteError, RemoteMismatchError, RemoteRefusedError, RemoteUnavailableError


class MlflowClient:
    """A `remotes.client.RemoteClient` for `mlflow models serve`, SageMaker's containers and their like.

    The protocol tells neither a model's name nor its version; what `/version` answers is MLflow's own, which stands
    for it: another release may predict otherwise.
    """

    def __init__(self, model: RemoteModel) -> None:
        self._model, self._http = model, HttpConnection(model.definition)

    async def score(
        self, columns: EncodedColumns, rows: int, *, seconds: float, params: Params | None = None
    ) -> Answer:
        """Return the answer to the rows; see `RemoteClient`."""
        body = encode_mlflow(self._model, columns, rows, params)
        return decode_predictions(await self._http.post("/invocations", body, seconds), rows, self._model)

    async def describe(self, *, seconds: float) -> Described:
        """Return the version of MLflow, where it tells, once it answers pings; see `RemoteClient`."""
        await self._http.get("/ping", seconds)
        try:
            version = (await self._http.get("/version", seconds)).decode("ascii").strip()
        except (RemoteError, UnicodeDecodeError):  # SageMaker's containers have no such route
            return Described()
        return Described((f"mlflow-{version}",)) if 0 < len(version) <= 40 else Described()

    async def close(self) -> None:
        """End its connections."""
        await self._http.close()


class KserveV1Client:
    """A `remotes.client.RemoteClient` for KServe's first protocol, which is TensorFlow Serving's."""

    def __init__(self, model: RemoteModel) -> None:
        self._model, self._http = model, HttpConnection(model.definition)
        name = quote(model.definition.model or "", safe="")
        version = "" if model.definition.pinned is None else f"/versions/{quote(model.definition.pinned, safe='')}"
        self._path = f"/v1/models/{name}{version}"

    async def score(
        self, columns: EncodedColumns, rows: int, *, seconds: float, params: Params | None = None
    ) -> Answer:
        """Return the answer to the rows; see `RemoteClient`. The protocol has no parameters."""
        if params:
            raise RemoteRefusedError("its protocol takes no parameters")
        body = encode_instances(self._model, columns)
        return decode_predictions(await self._http.post(f"{self._path}:predict", body, seconds), rows, self._model)

    async def describe(self, *, seconds: float) -> Described:
        """Return nothing, once the model is ready: the protocol tells no more; see `RemoteClient`."""
        found = parsed(await self._http.get(self._path, seconds))
        if isinstance(found, dict) and str(found.get("ready", True)).lower() == "false":
            raise RemoteUnavailableError("says that its model is not ready")
        return Described()

    async def close(self) -> None:
        """End its connections."""
        await self._http.close()


def encode_mlflow(model: RemoteModel, columns: EncodedColumns, rows: int, params: Params | None = None) -> bytes:
    """Return the body of a scoring request: a table, or a matrix for a model that takes one; NaN is null."""
    body: dict[str, Any]
    if model.definition.layout == "matrix":
        body = {"inputs": _rows(model, columns)}
    else:
        names = [column.name for column in model.signature.columns]
        body = {"dataframe_split": {"columns": names, "data": _rows(model, columns)}}
    if params:
        body["params"] = dict(params)
    return orjson.dumps(body)


def encode_instances(model: RemoteModel, columns: EncodedColumns) -> bytes:
    """Return the body of a request of KServe V1: objects, or lists for a model that takes a matrix; NaN is null."""
    rows = _rows(model, columns)
    if model.definition.layout == "matrix":
        return orjson.dumps({"instances": rows})
    names = [column.name for column in model.signature.columns]
    return orjson.dumps({"instances": [dict(zip(names, row, strict=True)) for row in rows]})


def _rows(model: RemoteModel, columns: EncodedColumns) -> list[list[Any]]:
    plain = plain_columns(columns)
    lists = [plain[column.name].tolist() for column in model.signature.columns]
    return [list(row) for row in zip(*lists, strict=True)]


def decode_predictions(content: bytes, rows: int, model: RemoteModel) -> Answer:
    """Return the predictions by the names of the definition's outputs, each a list with one entry per row.

    Raises:
        RemoteMismatchError: There is no list of predictions with as many entries as rows, or one lacks a name.
    """
    body = parsed(content)
    found = body.get("predictions") if type(body) is dict else None
    if type(found) is not list or len(found) != rows:
        count = len(found) if type(found) is list else "no"
        raise RemoteMismatchError(f"it has {count} predictions for {rows} rows")
    outputs: dict[str | None, Any] = {}
    for output in model.definition.outputs:
        if output.name is None:
            outputs[None] = found
            continue
        try:
            outputs[output.name] = [row[output.name] for row in found]
        except (KeyError, TypeError, IndexError):
            raise RemoteMismatchError(f"a prediction has no '{output.name}'") from None
    return Answer(outputs)
