"""The platform's own REST API under `/api/v1`, with `/metrics` and `/bias_test`; answered by the Companion."""

from __future__ import annotations

import logging
import re
import traceback
from pathlib import Path
from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.bias_gauges import SECONDS as BIAS_GAUGE_SECONDS
from bentos.bias_gauges import BiasGauges
from bentos.bias_test_routes import bias_test_routes
from bentos.bias_test_service import BiasTestService
from bentos.bias_v2_routes import FAIRMIND, bias_v2_routes
from bentos.companion import Companion
from bentos.data_set_routes import data_set_routes
from bentos.drift_routes import drift_routes
from bentos.drift_service import DriftService
from bentos.errors import (
    InvalidRequestError,
    MalformedRequestError,
    MediaTypeError,
    MethodError,
    RouteNotFoundError,
    describe,
    extra_headers,
)
from bentos.explanation_routes import explanation_routes
from bentos.forwarding import CALLERS_ID_HEADER, REQUEST_ID_HEADER
from bentos.metrics_routes import metrics_routes
from bentos.mlops_routes import mlops_routes
from bentos.model_routes import model_routes
from bentos.openapi_keys import tell_of_keys
from bentos.outcome_routes import outcome_routes
from bentos.protocol_openapi import protocol_paths, protocol_schemas, refusals
from bentos.replay_routes import replay_routes
from bentos.replay_service import ReplayService
from bentos.reproduction_routes import reproduction_routes
from bentos.rollout_routes import rollout_routes
from bentos.variant_routes import variant_routes
from monitoring.identifiers import new_request_id

_log = logging.getLogger(__name__)
_OPENAPI: Final = "/api/v1/openapi.json"
_TASK_SECONDS: Final = 0.25
_DRIFT_SECONDS: Final = 60.0
_REQUEST_ID: Final = "fairmind.request_id"
"""Where the scope holds the id that the front door gave the request."""
_LOGGED_ID: Final = "fairmind.logged_id"
"""Where it holds what the log names it by: that id, and the caller's where there is one."""


def control_api(companion: Companion, worker_metrics: Path) -> FastAPI:
    """Return the API over what the companion holds; `worker_metrics` is where workers keep their counters."""
    # Declares what the front door checks, so that the page has a place to enter a key; nothing is checked here.
    key = HTTPBearer(scheme_name="key", description="An API key; on loopback, none is needed.", auto_error=False)
    api = _Api(
        title="FairMind Serving", openapi_url=_OPENAPI, docs_url=None, redoc_url=None, dependencies=[Depends(key)]
    )

    @api.get("/api/v1/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        """Return a page to try the API by hand; its assets are those BentoML serves, none come from elsewhere."""
        return get_swagger_ui_html(
            openapi_url=_OPENAPI,
            title="FairMind Serving API",
            swagger_js_url="/static_content/swagger-ui-bundle.js",
            swagger_css_url="/static_content/swagger-ui.css",
            swagger_favicon_url="/static_content/favicon-light-32x32.png",
        )

    api.include_router(model_routes(companion))
    api.include_router(rollout_routes(companion))
    api.include_router(variant_routes(companion))
    api.include_router(outcome_routes(companion))
    bias = BiasGauges(companion)
    companion.loops["bias-gauges"] = (bias.measure, BIAS_GAUGE_SECONDS)
    companion.gauges.append(bias.set_gauges)
    service = BiasTestService(companion)
    companion.loops["bias-tests"] = (service.work, _TASK_SECONDS)
    api.include_router(bias_test_routes(companion, service))
    api.include_router(data_set_routes(service.data_sets))
    api.include_router(bias_v2_routes(companion, service))
    replays = ReplayService(companion)
    companion.loops["replays"] = (replays.work, _TASK_SECONDS)
    api.include_router(replay_routes(companion, replays))
    drift = DriftService(companion)
    companion.loops["drift"] = (drift.work, _DRIFT_SECONDS)
    companion.gauges.append(drift.set_gauges)
    api.include_router(drift_routes(drift))
    api.include_router(reproduction_routes(companion))
    api.include_router(explanation_routes(companion))
    api.include_router(mlops_routes(companion))
    api.include_router(metrics_routes(companion, worker_metrics))
    api.add_exception_handler(RequestValidationError, _refuse_invalid)
    api.add_exception_handler(HTTPException, _refuse_http)
    api.add_middleware(_RefuseErrors)
    return api


class _Api(FastAPI):
    """An application whose document tells of the workers' routes too, and how all of them say what is wrong."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        for path, operations in document["paths"].items():
            for operation in operations.values():
                operation["responses"].pop("422", None)  # FastAPI's own shape, which is not ours
                operation["responses"] |= refusals("FairMindError" if path.startswith(FAIRMIND) else "Error")
        document["paths"] |= protocol_paths()
        tell_of_keys(document["paths"])
        schemas = document["components"]["schemas"]
        for theirs in ("HTTPValidationError", "ValidationError"):
            schemas.pop(theirs, None)
        schemas |= protocol_schemas()
        return document


class _RefuseErrors:
    """Turns errors into our answers; FastAPI's own handler of `Exception` would raise them again afterwards."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        scope[_REQUEST_ID] = headers.get(REQUEST_ID_HEADER, b"").decode("latin-1") or new_request_id()
        callers_id = headers.get(CALLERS_ID_HEADER, b"").decode("latin-1")
        scope[_LOGGED_ID] = f"{scope[_REQUEST_ID]} ({callers_id})" if callers_id else scope[_REQUEST_ID]
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            await _answer(error, scope)(scope, receive, send)


def _refuse_invalid(request: Request, error: Exception) -> JSONResponse:
    return _answer(_as_ours(request, error), request.scope)


def _as_ours(request: Request, error: Exception) -> Exception:
    assert isinstance(error, RequestValidationError)  # noqa: S101  (narrows what FastAPI registers it for)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return MalformedRequestError("the body is not JSON")
    if first["loc"] == ("body",) and first["type"] != "missing" and not _says_json(request):
        return MediaTypeError("application/json")
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    return InvalidRequestError(f"{where}: {first['msg']}" if where else str(first["msg"]))


def _says_json(request: Request) -> bool:
    """Return whether FastAPI read the body as JSON: it does not where the request says another type, or none."""
    media_type = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _refuse_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  (narrows what FastAPI registers it for)
    refusal: Exception
    match error.status_code:
        case 404:
            refusal = RouteNotFoundError()
        case 405:
            allowed = _methods(request) or (error.headers or {}).get("Allow", "another method")
            refusal = MethodError(allowed)
        case _:  # a body that FastAPI could not decode
            refusal = MalformedRequestError("the body is not JSON")
    return _answer(refusal, request.scope)


def _methods(request: Request) -> str | None:
    """Return the methods that the request's path takes; the framework names those of one of its routes."""
    for template, operations in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), request.url.path):
            return ", ".join(sorted(method.upper() for method in operations))
    return None


def _answer(error: Exception, scope: Scope) -> JSONResponse:
    request_id = scope[_REQUEST_ID]
    status, code, message = describe(error)
    if status == 500:
        # An error's own message may hold a value of a row: where it failed is logged, what it said is not.
        places = "".join(traceback.format_tb(error.__traceback__))
        _log.error("request %s: an API request failed (%s)\n%s", scope[_LOGGED_ID], type(error).__name__, places)
    elif status > 500:
        _log.warning("request %s: %s", scope[_LOGGED_ID], code)
    body: dict[str, Any] = {"error": {"code": code, "message": message, "request_id": request_id}}
    if scope["path"].startswith(FAIRMIND):
        body["detail"] = message  # where FairMind's frontend looks for it
    answer = JSONResponse(body, status)
    for key, value in extra_headers(error, status):
        answer.headers[key.decode()] = value.decode()
    return answer
