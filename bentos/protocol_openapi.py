"""What the workers answer, as OpenAPI paths: every protocol that is HTTP, beside the platform's own API.

Written by hand, since no framework stands between these routes and the socket (docs/adr/0001); a test asks every
one of them on a real server and holds the answers against what is said here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from bentos.messages import Instance, PredictAnswer

Schema = dict[str, Any]

_JSON: Final = "application/json"
_TEXT: Final = "text/plain"
_STRING: Final[Schema] = {"type": "string"}
_TRUTH: Final[Schema] = {"type": "boolean"}
_NOTHING_BUT: Final[Schema] = {"additionalProperties": False}


def reference(name: str) -> Schema:
    """Return a reference to one of the schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def refusals(error: str) -> dict[str, Any]:
    """Return the responses of an operation that says what is wrong in the shape of the schema `error`."""
    content = {_JSON: {"schema": reference(error)}}
    return {
        "4XX": {"description": "What was asked cannot be answered, and why.", "content": content},
        "5XX": {"description": "It cannot be answered now; 503 and 504 are safe to repeat.", "content": content},
    }


def protocol_schemas() -> dict[str, Any]:
    """Return the schemas that the paths refer to."""
    _, made = models_json_schema(
        [(Instance, "validation"), (PredictAnswer, "serialization")], ref_template="#/components/schemas/{model}"
    )
    error = _object({"code": _STRING, "message": _STRING, "request_id": _STRING}, **_NOTHING_BUT)
    return {
        **made["$defs"],
        "Error": _object({"error": error}, **_NOTHING_BUT),
        "FairMindError": _object({"error": error}, optional={"detail": _STRING}, **_NOTHING_BUT),
        "ProtocolError": _object({"error": _STRING}, **_NOTHING_BUT),
        "MlflowError": _object({"error_code": _STRING, "message": _STRING}, **_NOTHING_BUT),
        "Tensor": _object(
            {"name": _STRING, "shape": _list({"type": "integer", "minimum": 0}), "datatype": _STRING},
            optional={"data": {"type": "array"}, "parameters": {"type": "object"}},
        ),
        "InferenceRequest": _object(
            {"inputs": _list(reference("Tensor"), minItems=1)},
            optional={
                "id": {"type": ["string", "null"], "maxLength": 200},
                "parameters": {"type": ["object", "null"]},
                "outputs": {"anyOf": [_list(_object({"name": _STRING})), {"type": "null"}]},
            },
        ),
        "InferenceResponse": _object(
            {
                "model_name": _STRING,
                "model_version": _STRING,
                "parameters": {"type": "object"},
                "outputs": _list(reference("Tensor")),
            },
            optional={"id": _STRING},
        ),
        "ScoringRequest": _object(
            {},
            optional={
                "dataframe_split": _object({"data": _list(_list({}))}, optional={"columns": _list({})}),
                "dataframe_records": _list({"type": "object"}, minItems=1),
                "instances": {"type": "array", "minItems": 1},
                "inputs": {"type": ["array", "object"]},
                "params": {"type": ["object", "null"]},
            },
        ),
        "InstancesRequest": _object({"instances": {"type": "array", "minItems": 1}}),
        "Predictions": _object({"predictions": {"type": "array"}}, **_NOTHING_BUT),
    }


def protocol_paths() -> dict[str, Any]:
    """Return the paths of all protocols."""
    return {**_own_paths(), **_oip_paths(), **_mlflow_paths(), **_kserve_v1_paths()}


def _own_paths() -> dict[str, Any]:
    body = _object(
        {"instances": _list(reference("Instance"), minItems=1)},
        optional={"model": {"type": ["string", "null"]}},
        **_NOTHING_BUT,
    )
    state = {"content": {_JSON: {"schema": {"type": "object"}}}}
    live = _operation("Whether a worker answers", "Error", _object({"live": _TRUTH}), tag="predictions")
    ready = _operation("Whether a worker can predict", "Error", {"type": "object"}, tag="predictions")
    ready["responses"]["503"] = {"description": "It cannot, and why."} | state
    return {
        "/predict": {
            "post": _operation(
                "Predict rows; each unit is answered by the variant it is assigned to",
                "Error",
                reference("PredictAnswer"),
                body=body,
                tag="predictions",
            )
        },
        "/livez": {"get": live},
        "/readyz": {"get": ready},
    }


def _oip_paths() -> dict[str, Any]:
    def ask(summary: str, answer: Schema, *parameters: str) -> Schema:
        return _operation(summary, "ProtocolError", answer, parameters=parameters, tag="Open Inference Protocol")

    def tell(summary: str, answer: Schema | None, body: Schema, *parameters: str, required: bool = True) -> Schema:
        return _operation(
            summary,
            "ProtocolError",
            answer,
            body=body,
            body_required=required,
            parameters=parameters,
            tag="Open Inference Protocol",
        )

    health = _object({"ready": _TRUTH, "live": _TRUTH})
    ready = ask("Whether a worker can predict", health)
    ready["responses"]["503"] = {"description": "It cannot.", "content": {_JSON: {"schema": health}}}
    entry = _object(dict.fromkeys(("name", "version", "state", "reason"), _STRING))
    paths: dict[str, Any] = {
        "/v2": {"get": ask("Server metadata", _object({"name": _STRING, "version": _STRING}))},
        "/v2/health/live": {"get": ask("Whether a worker answers", _object({"live": _TRUTH}))},
        "/v2/health/ready": {"get": ready},
        "/v2/repository/index": {
            "post": tell(
                "What serves, and what should",
                _list(entry),
                _object({}, optional={"ready": _TRUTH}),
                required=False,
            )
        },
    }
    for path, names in (("{model}", ("model",)), ("{model}/versions/{version}", ("model", "version"))):
        of = f"/v2/models/{path}"
        metadata = _object({"name": _STRING, "versions": _list(_STRING), "inputs": _list({}), "outputs": _list({})})
        paths[of] = {"get": ask("Model metadata", metadata, *names)}
        ready_model = _object({"name": _STRING, "ready": _TRUTH})
        paths[f"{of}/ready"] = {"get": ask("Whether a model can predict", ready_model, *names)}
        inference = tell("Inference", reference("InferenceResponse"), reference("InferenceRequest"), *names)
        inference["responses"]["200"]["content"]["application/octet-stream"] = {"schema": {}}
        paths[f"{of}/infer"] = {"post": inference}
    for action in ("load", "unload"):
        refused = tell(
            f"Refused: what serves follows the registry, not a call to {action}",
            None,
            {"type": "object"},
            "model",
            required=False,
        )
        paths[f"/v2/repository/models/{{model}}/{action}"] = {"post": refused}
    return paths


def _mlflow_paths() -> dict[str, Any]:
    tag = "MLflow scoring"
    paths: dict[str, Any] = {}
    for path, names in (
        ("/invocations", ()),
        ("/models/{model}/invocations", ("model",)),
        ("/models/{model}/versions/{version}/invocations", ("model", "version")),
    ):
        scored = _operation(
            "Score a table",
            "MlflowError",
            reference("Predictions"),
            body=reference("ScoringRequest"),
            parameters=names,
            tag=tag,
        )
        scored["requestBody"]["content"]["text/csv"] = {"schema": _STRING}
        paths[path] = {"post": scored}
    for path in ("/ping", "/health"):
        ping = _operation("Whether a worker can predict", "MlflowError", _STRING, media_type=_TEXT, tag=tag)
        ping["responses"]["503"] = {"description": "It cannot.", "content": {_TEXT: {"schema": _STRING}}}
        paths[path] = {"get": ping}
    version = _operation("The version of MLflow", "MlflowError", _STRING, media_type=_TEXT, tag=tag)
    return paths | {"/version": {"get": version}}


def _kserve_v1_paths() -> dict[str, Any]:
    tag, error = "KServe V1", "ProtocolError"
    ready = _object({"name": _STRING, "ready": _TRUTH})
    paths: dict[str, Any] = {
        "/v1/models": {"get": _operation("Models", error, _object({"models": _list(_STRING)}), tag=tag)},
        "/v1/models/{model}": {
            "get": _operation("Whether a model can predict", error, ready, parameters=("model",), tag=tag)
        },
    }
    for path, names in (("{model}", ("model",)), ("{model}/versions/{version}", ("model", "version"))):
        predicted = _operation(
            "Predict instances",
            error,
            reference("Predictions"),
            body=reference("InstancesRequest"),
            parameters=names,
            tag=tag,
        )
        paths[f"/v1/models/{path}:predict"] = {"post": predicted}
    return paths


def _operation(
    summary: str,
    error: str,
    answer: Schema | None,
    *,
    tag: str,
    body: Schema | None = None,
    body_required: bool = True,
    parameters: Sequence[str] = (),
    media_type: str = _JSON,
) -> Schema:
    """Return an operation; `answer` is the schema of its 200, None where it never answers with one."""
    responses = refusals(error)
    if answer is not None:
        responses["200"] = {"description": "The answer.", "content": {media_type: {"schema": answer}}}
    operation: Schema = {"summary": summary, "tags": [tag], "responses": responses}
    if body is not None:
        operation["requestBody"] = {"required": body_required, "content": {_JSON: {"schema": body}}}
    if parameters:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in parameters
        ]
    return operation


def _object(required: Mapping[str, Schema], *, optional: Mapping[str, Schema] | None = None, **more: Any) -> Schema:
    made: Schema = {"type": "object", "properties": {**required, **(optional or {})}, **more}
    return made | {"required": list(required)} if required else made


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}
