"""The platform's own REST API under `/api/v1`, with `/metrics` and `/bias_test`; answered by the Companion."""

from __future__ import annotations

import logging
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.companion import Companion
from bentos.errors import RouteNotFoundError, describe, extra_headers
from bentos.model_routes import model_routes
from bentos.observation_routes import observation_routes
from bentos.rollout_routes import rollout_routes
from monitoring.identifiers import new_request_id

_log = logging.getLogger(__name__)


def control_api(companion: Companion, worker_metrics: Path) -> FastAPI:
    """Return the API over what the companion holds; `worker_metrics` is where workers keep their counters."""
    api = FastAPI(
        title="FairMind Serving", openapi_url="/api/v1/openapi.json", docs_url="/api/v1/docs", redoc_url=None
    )
    api.include_router(model_routes(companion))
    api.include_router(rollout_routes(companion))
    api.include_router(observation_routes(companion, worker_metrics))
    api.add_exception_handler(RequestValidationError, _refuse_invalid)
    api.add_exception_handler(404, _refuse_route)
    api.add_middleware(_RefuseErrors)
    return api


class _RefuseErrors:
    """Turns errors into our answers; FastAPI's own handler of `Exception` would raise them again afterwards."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            await _answer(error)(scope, receive, send)


def _refuse_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  (narrows what FastAPI registers it for)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    message = f"{where}: {first['msg']}" if where else str(first["msg"])
    if first["type"] == "json_invalid":
        return _json(400, "malformed_request", "the body is not JSON")
    return _json(422, "invalid_request", message)


def _refuse_route(_request: Request, _error: Exception) -> JSONResponse:
    return _answer(RouteNotFoundError())


def _answer(error: Exception) -> JSONResponse:
    status, code, message = describe(error)
    answer = _json(status, code, message)
    for key, value in extra_headers(error, status):
        answer.headers[key.decode()] = value.decode()
    if status == 500:
        _log.error("an API request failed: %s", type(error).__name__, exc_info=error)
    return answer


def _json(status: int, code: str, message: str) -> JSONResponse:
    content = {"error": {"code": code, "message": message, "request_id": new_request_id()}}
    return JSONResponse(content, status)
