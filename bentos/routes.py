"""The hot routes: `/predict`, `/v2` and the probes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson

from bentos import oip, oip_repository, predict
from bentos.dataplane import DataPlane
from bentos.errors import RepositoryControlError, RouteNotFoundError
from bentos.oip_tensors import HEADER_LENGTH, split_body
from bentos.readiness import readiness
from bentos.row_extras import header_unit
from bentos.wire import JSON, Exchange, decoded
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
        _check_probe(exchange)
        await exchange.reply(200, b'{"live":true}')

    async def readyz(self, exchange: Exchange) -> None:
        """`GET /readyz`: whether this worker can predict, and what is amiss."""
        _check_probe(exchange)
        ready, detail = readiness(self._worker)
        await exchange.reply(200 if ready else 503, orjson.dumps(detail))

    async def v2(self, exchange: Exchange) -> None:
        """Everything under `/v2`."""
        exchange.protocol = oip.PROTOCOL
        inferred = _inferred(exchange.path)
        if inferred is not None:
            await self._infer(exchange, *inferred)
            return
        parts = _parts(exchange.path)
        if parts[:1] == ["repository"]:
            await self._repository(exchange, parts[1:])
            return
        answers = self._answers(parts)
        exchange.check_method("GET")
        status, answer = answers()
        await exchange.reply(status, orjson.dumps(answer))

    def _answers(self, parts: list[str]) -> Callable[[], tuple[int, Any]]:
        """Return what answers `GET` on a path under `/v2`; raises RouteNotFoundError where nothing does."""
        match parts:
            case []:
                return lambda: (200, oip.server_metadata())
            case ["health", "live"]:
                return lambda: (200, {"live": True})
            case ["health", "ready"]:
                return self._v2_ready
            case ["models", *rest, "ready"] if rest:
                named = _model(rest)
                return lambda: (200, {"name": self._plane.find(*named).served.model, "ready": True})
            case ["models", *rest] if rest:
                named = _model(rest)
                return lambda: (200, oip.model_metadata(self._plane.find(*named)))
            case _:
                raise RouteNotFoundError

    async def _repository(self, exchange: Exchange, parts: list[str]) -> None:
        match parts:
            case ["index"]:
                exchange.check_method("POST")
                ready_only = oip_repository.parse_index(await exchange.content(self._limit))
                index = oip_repository.index(self._worker, ready_only=ready_only)
                await exchange.reply(200, orjson.dumps(index))
            case ["models", _, "load" | "unload"]:
                exchange.check_method("POST")
                raise RepositoryControlError
            case _:
                raise RouteNotFoundError

    def _v2_ready(self) -> tuple[int, Any]:
        ready, _ = readiness(self._worker)
        return 200 if ready else 503, {"ready": ready, "live": True}

    async def _infer(self, exchange: Exchange, name: str, version: str | None) -> None:
        exchange.check_method("POST")
        target = self._plane.find(name, version)
        exchange.model = target.served.model
        unit = header_unit(exchange)
        content = await exchange.content(self._limit)
        # Triton's client sends JSON without saying so: the media type is not asked for here.
        header_length = exchange.header(HEADER_LENGTH)
        # Where most of a body is raw tensors, the JSON is short: only one that is all JSON may take long to read.
        searched = content if header_length is None else b""
        body, raw = await decoded(searched, split_body, content, header_length)
        answer = await oip.infer(self._plane, target, body, raw, exchange, unit=unit)
        headers = [
            (b"x-fairmind-prediction-id", exchange.request_id.encode()),
            *_variant_headers(answer.model_version, answer.variant, shown=exchange.principal.sees_variant),
        ]
        media_type = JSON
        if answer.json_bytes is not None:
            media_type = b"application/octet-stream"
            headers.append((HEADER_LENGTH, str(answer.json_bytes).encode()))
        await exchange.reply(200, answer.body, media_type, headers)


def _check_probe(exchange: Exchange) -> None:
    if exchange.method != "HEAD":  # some load balancers ask so
        exchange.check_method("GET")


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/")[2:] if part]


@lru_cache(maxsize=256)
def _inferred(path: str) -> tuple[str, str | None] | None:
    """Return the model, and the version where it names one, of a path for inference, None of any other path."""
    parts = _parts(path)
    return _model(parts[1:-1]) if parts[:1] == ["models"] and parts[-1:] == ["infer"] else None


@lru_cache(maxsize=256)
def _variant_headers(version: str, variant: str | None, *, shown: bool) -> tuple[tuple[bytes, bytes], ...]:
    told = (b"x-fairmind-model-version", version.encode())
    return (told, (b"x-fairmind-variant", (variant or "").encode())) if shown else (told,)


def _model(parts: list[str]) -> tuple[str, str | None]:
    match parts:
        case [name]:
            return name, None
        case [name, "versions", version]:
            return name, version
        case _:
            raise RouteNotFoundError
