"""The hot routes: `/predict`, `/v2` and the probes."""

from __future__ import annotations

from typing import Any

import orjson

from bentos import oip, predict
from bentos.compression import decompress
from bentos.dataplane import DataPlane
from bentos.errors import MalformedRequestError, RouteNotFoundError
from bentos.oip_tensors import HEADER_LENGTH, split_body
from bentos.readiness import readiness
from bentos.wire import JSON, Exchange
from bentos.worker import Worker


class HotRoutes:
    """Handlers that answer from this worker alone."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._plane = DataPlane(worker)
        self._limit = worker.serving.max_body_bytes

    async def predict(self, exchange: Exchange) -> None:
        """`POST /predict`."""
        exchange.protocol = predict.PROTOCOL
        exchange.check_method("POST")
        answer = await predict.predict(self._plane, await exchange.json(self._limit), exchange)
        await exchange.reply(200, answer, headers=[(b"x-fairmind-prediction-id", exchange.request_id.encode())])

    async def livez(self, exchange: Exchange) -> None:
        """`GET /livez`: the process answers."""
        await exchange.reply(200, b'{"live":true}')

    async def readyz(self, exchange: Exchange) -> None:
        """`GET /readyz`: whether this worker can predict, and what is amiss."""
        ready, detail = readiness(self._worker)
        await exchange.reply(200 if ready else 503, orjson.dumps(detail))

    async def v2(self, exchange: Exchange) -> None:
        """Everything under `/v2`."""
        exchange.protocol = oip.PROTOCOL
        parts = [part for part in exchange.path.split("/")[2:] if part]
        if parts[:1] == ["models"] and parts[-1:] == ["infer"]:
            await self._infer(exchange, *_model(parts[1:-1]))
            return
        exchange.check_method("GET")
        status = 200
        match parts:
            case []:
                answer: Any = oip.server_metadata()
            case ["health", "live"]:
                answer = {"live": True}
            case ["health", "ready"]:
                ready, _ = readiness(self._worker)
                status, answer = 200 if ready else 503, {"ready": ready, "live": True}
            case ["models", *rest, "ready"] if rest:
                answer = {"name": self._plane.find(*_model(rest)).served.model, "ready": True}
            case ["models", *rest] if rest:
                answer = oip.model_metadata(self._plane.find(*_model(rest)))
            case _:
                raise RouteNotFoundError
        await exchange.reply(status, orjson.dumps(answer))

    async def _infer(self, exchange: Exchange, name: str, version: str | None) -> None:
        exchange.check_method("POST")
        target = self._plane.find(name, version)
        exchange.model = target.served.model
        unit = exchange.header(b"x-fairmind-unit")
        try:
            decoded_unit = None if unit is None else unit.decode()
        except UnicodeDecodeError:
            raise MalformedRequestError("the header X-Fairmind-Unit must be UTF-8") from None
        encoding = exchange.header(b"content-encoding")
        content = await exchange.body(self._limit)
        if encoding is not None:
            content = decompress(content, encoding, self._limit)
        # Triton's client sends JSON without saying so: the media type is not asked for here.
        body, raw = split_body(content, exchange.header(HEADER_LENGTH))
        answer = await oip.infer(self._plane, target, body, raw, exchange, unit=decoded_unit)
        headers = [
            (b"x-fairmind-prediction-id", exchange.request_id.encode()),
            (b"x-fairmind-model-version", answer.model_version.encode()),
            (b"x-fairmind-variant", (answer.variant or "").encode()),
        ]
        media_type = JSON
        if answer.json_bytes is not None:
            media_type = b"application/octet-stream"
            headers.append((HEADER_LENGTH, str(answer.json_bytes).encode()))
        await exchange.reply(200, answer.body, media_type, headers)


def _model(parts: list[str]) -> tuple[str, str | None]:
    match parts:
        case [name]:
            return name, None
        case [name, "versions", version]:
            return name, version
        case _:
            raise RouteNotFoundError
