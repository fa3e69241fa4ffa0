"""KServe's first protocol, which is TensorFlow Serving's: `{"instances": […]}` to `{"predictions": […]}`."""

from __future__ import annotations

from typing import Any, Final

import orjson

from bentos.dataplane import DataPlane
from bentos.errors import MalformedRequestError, RouteNotFoundError
from bentos.scoring import score
from bentos.wire import Exchange
from bentos.worker import Worker
from inference.scoring_tables import instances_table

PROTOCOL: Final = "kserve_v1"
_PREDICT: Final = ":predict"


class KServeV1Routes:
    """Everything under `/v1/`."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._plane = DataPlane(worker)
        self._limit = worker.serving.max_body_bytes

    async def __call__(self, exchange: Exchange) -> None:
        """`POST /v1/models/{m}[/versions/{v}]:predict`, `GET /v1/models` and `GET /v1/models/{m}`."""
        exchange.protocol = PROTOCOL
        path = exchange.path
        is_prediction = path.endswith(_PREDICT)
        match path.removesuffix(_PREDICT).split("/")[2:]:
            case ["models"] if not is_prediction:
                named: tuple[str, str | None] | None = None
            case ["models", name] if name:
                named = name, None
            case ["models", name, "versions", version] if name and version:
                named = name, version
            case _:
                raise RouteNotFoundError
        exchange.check_method("POST" if is_prediction else "GET")
        if named is None:
            await exchange.reply(200, orjson.dumps({"models": sorted(self._worker.models)}))
        elif is_prediction:
            await self._predict(exchange, *named)
        else:
            name = self._plane.find(*named).served.model
            await exchange.reply(200, orjson.dumps({"name": name, "ready": True}))

    async def _predict(self, exchange: Exchange, name: str, version: str | None) -> None:
        target = self._plane.find(name, version)
        exchange.model = target.served.model
        body: Any = await exchange.json(self._limit)
        if type(body) is not dict or "instances" not in body:
            raise MalformedRequestError("the body must be an object with a list 'instances'")
        scored = await score(self._plane, target, instances_table(body["instances"]), exchange)
        answer = orjson.dumps({"predictions": scored.predictions}, option=orjson.OPT_NON_STR_KEYS)
        await exchange.reply(200, answer, headers=scored.headers)


def refusal(status: int, code: str, message: str) -> tuple[int, bytes]:
    """Return status and body of an error: rows that do not fit are 400, overload is 429."""
    status = {422: 400, 503: 429 if code == "overloaded" else 503}.get(status, status)
    return status, orjson.dumps({"error": message})
