"""MLflow's scoring protocol: `/invocations` as `mlflow models serve` answers it, and its probes.

A body is one of `dataframe_split`, `dataframe_records`, `instances` and `inputs`, with `params` beside it, or CSV.
With several models served, `/models/{m}[/versions/{v}]/invocations` says which.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version as library_version
from typing import Any, Final

import orjson

from bentos.dataplane import DataPlane
from bentos.errors import MalformedRequestError, MediaTypeError, RouteNotFoundError
from bentos.readiness import readiness
from bentos.scoring import score
from bentos.wire import JSON, Exchange, decoded, parse_json
from bentos.worker import Worker
from inference.delimited import csv_table
from inference.scoring_tables import Table, scoring_table

PROTOCOL: Final = "mlflow"
_CSV: Final = b"text/csv"
_TEXT: Final = b"text/plain; charset=utf-8"
_TAKEN: Final = "application/json or text/csv, in UTF-8"
_ERROR_CODES: Final = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "BAD_REQUEST",
    413: "RESOURCE_LIMIT_EXCEEDED",
    415: "BAD_REQUEST",
    422: "INVALID_PARAMETER_VALUE",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""MLflow's names for what went wrong; whatever is not here is INTERNAL_ERROR."""


class MlflowRoutes:
    """The scoring protocol's routes."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._plane = DataPlane(worker)
        self._limit = worker.serving.max_body_bytes

    async def ping(self, exchange: Exchange) -> None:
        """`GET /ping` and `GET /health`: whether this worker can predict."""
        exchange.protocol = PROTOCOL
        exchange.check_method("GET")
        ready, _ = readiness(self._worker)
        await exchange.reply(200 if ready else 503, b"\n", _TEXT)

    async def version(self, exchange: Exchange) -> None:
        """`GET /version`: the version of MLflow whose protocol this is."""
        exchange.protocol = PROTOCOL
        exchange.check_method("GET")
        await exchange.reply(200, _mlflow_version(), _TEXT)

    async def invocations(self, exchange: Exchange) -> None:
        """`POST /invocations`, `/models/{m}/invocations` and `/models/{m}/versions/{v}/invocations`."""
        exchange.protocol = PROTOCOL
        name, version = _named(exchange.path)
        exchange.check_method("POST")
        target = self._plane.find(name, version)
        exchange.model = target.served.model
        table, params = await self._read(exchange)
        scored = await score(self._plane, target, table, exchange, params=params)
        body = orjson.dumps({"predictions": scored.predictions}, option=orjson.OPT_NON_STR_KEYS)
        await exchange.reply(200, body, headers=scored.headers)

    async def _read(self, exchange: Exchange) -> tuple[Table, dict[str, Any] | None]:
        """Return the rows of a request, and the model's own parameters.

        Raises:
            MediaTypeError: The body is of another media type or charset.
            MalformedRequestError, InferenceError: It is not what it says it is.
        """
        media_type = _media_type(exchange.header(b"content-type"))
        content = await exchange.content(self._limit)
        if media_type == _CSV:
            return csv_table(content), None
        return await decoded(content, _parse, content)


def refusal(status: int, code: str, message: str) -> tuple[int, bytes]:
    """Return status and body of an error as MLflow's server answers it: rows that do not fit are 400."""
    error_code = "ENDPOINT_NOT_FOUND" if code == "route_not_found" else _ERROR_CODES.get(status, "INTERNAL_ERROR")
    return 400 if status == 422 else status, orjson.dumps({"error_code": error_code, "message": message})


def _parse(content: bytes) -> tuple[Table, dict[str, Any] | None]:
    body = parse_json(content)
    if type(body) is not dict:
        raise MalformedRequestError("the body must be an object")
    params = body.get("params")
    if params is not None and type(params) is not dict:
        raise MalformedRequestError("'params' must be an object")
    return scoring_table(body), params


def _media_type(header: bytes | None) -> bytes:
    """Return the media type of a body; one that says nothing is JSON."""
    name, *parameters = (header or b"").split(b";")
    media_type = name.strip().lower() or JSON
    for parameter in parameters:
        key, _, value = parameter.partition(b"=")
        if key.strip().lower() == b"charset" and value.strip(b' "').lower() not in {b"utf-8", b"utf8"}:
            raise MediaTypeError(_TAKEN)
    if media_type not in {JSON, _CSV}:
        raise MediaTypeError(_TAKEN)
    return media_type


def _named(path: str) -> tuple[str | None, str | None]:
    """Return the model and the version that a path names."""
    match path.split("/")[1:]:
        case ["invocations"]:
            return None, None
        case ["models", name, "invocations"] if name:
            return name, None
        case ["models", name, "versions", version, "invocations"] if name and version:
            return name, version
        case _:
            raise RouteNotFoundError


@cache
def _mlflow_version() -> bytes:
    return library_version("mlflow").encode()
