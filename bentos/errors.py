"""The one table from errors to HTTP statuses and gRPC codes, and the serving errors of no package below.

ServingError
├── MalformedRequestError     the body is not what the route takes
├── InvalidRequestError       a field is missing, unknown or of another type
├── TooLargeError             the body or the batch is over the limit
├── MediaTypeError            the body is of another media type
├── RouteNotFoundError        there is no such route
├── MethodError               the route takes another method
├── UnsupportedError          the protocol knows it, this server does not
├── ModelNotServedError       no such model, version or alias is served
├── AmbiguousModelError       several models are served and the request names none
├── RepositoryControlError    what is served follows the registry, not the protocol's load and unload
├── OverloadedError           this worker has as many requests under way as it may
├── NotReadyError             nothing is loaded yet, or the Companion is away
├── CompanionTimeoutError     the Companion is there and did not answer in time
└── InsecureError             it would listen beyond loopback without keys, and does not start
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from access import errors as access
from assessment import errors as assessment
from database.errors import DatabaseError
from explanation import errors as explanation
from fairness.errors import FairnessError
from inference import errors as inference
from monitoring import errors as monitoring
from registry import errors as registry
from remotes import errors as remotes
from replay import errors as replay
from rollout import errors as rollout
from runners import errors as runners
from sources.errors import SourceError
from tracking import errors as tracking


class ServingError(Exception):
    """Base of what the serving processes raise on purpose."""


class MalformedRequestError(ServingError):
    """The body is not what the route takes; the message names the part, never a value."""


class InvalidRequestError(ServingError):
    """A field is missing, unknown or of another type; the message names it, never its value."""


class TooLargeError(ServingError):
    """The body or the batch is over the limit."""

    def __init__(self, what: str, limit: int, setting: str) -> None:
        self.limit = limit
        super().__init__(f"the request is over the limit of {limit:,} {what} ({setting})")


class MediaTypeError(ServingError):
    """The body is of another media type."""

    def __init__(self, expected: str) -> None:
        super().__init__(f"this route takes {expected}")


class RouteNotFoundError(ServingError):
    """There is no such route."""

    def __init__(self) -> None:
        super().__init__("there is no such route; the routes are listed at /docs.json and /api/v1/openapi.json")


class MethodError(ServingError):
    """The route takes another method."""

    def __init__(self, allowed: str) -> None:
        self.allowed = allowed
        super().__init__(f"this route takes {allowed}")


class UnsupportedError(ServingError):
    """The protocol knows it and this server does not; the message says what to do instead."""


class ModelNotServedError(ServingError):
    """No such model, version or alias is served."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        super().__init__(f"no model '{reference[:200]}' is served; GET /api/v1/models lists those that are")


class AmbiguousModelError(ServingError):
    """Several models are served and the request names none."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"name the model, one of: {', '.join(names)}")


class RepositoryControlError(ServingError):
    """What is served follows the registry, not the protocol's load and unload."""

    def __init__(self) -> None:
        super().__init__(
            "what is served follows the registry: move an alias with `fairmind models promote`, or name the models "
            "to serve in FAIRMIND_BENTOS_MODELS; every worker follows by itself"
        )


class OverloadedError(ServingError):
    """This worker has as many requests under way as it may; safe to retry."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"overloaded: {limit} requests are under way (FAIRMIND_BENTOS_MAX_IN_FLIGHT); retry later")


class NotReadyError(ServingError):
    """Nothing is loaded yet, or the Companion is away; safe to retry."""


class CompanionTimeoutError(ServingError):
    """The Companion is there and did not answer in time; what it was asked for may still happen."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            f"no answer within {seconds:.0f} s; what was asked for may still be going on: "
            "look before you repeat it, or ask for less"
        )


class InsecureError(ServingError):
    """It would listen beyond loopback without keys, and does not start."""

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"{host} is reachable beyond this machine and there are no API keys: make one with "
            "`fairmind keys create NAME --scopes predict,read`, or serve everybody with --insecure "
            "(FAIRMIND_BENTOS_INSECURE=true)"
        )


HTTP_STATUSES: Final[Mapping[type[Exception], tuple[int, str]]] = {
    MalformedRequestError: (400, "malformed_request"),
    InvalidRequestError: (422, "invalid_request"),
    TooLargeError: (413, "too_large"),
    MediaTypeError: (415, "unsupported_media_type"),
    RouteNotFoundError: (404, "route_not_found"),
    MethodError: (405, "method_not_allowed"),
    UnsupportedError: (501, "not_supported"),
    ModelNotServedError: (404, "model_not_found"),
    AmbiguousModelError: (400, "model_required"),
    RepositoryControlError: (400, "repository_follows_registry"),
    OverloadedError: (503, "overloaded"),
    NotReadyError: (503, "not_ready"),
    CompanionTimeoutError: (504, "deadline_exceeded"),
    access.KeyRequiredError: (401, "key_required"),
    access.KeyRefusedError: (401, "key_refused"),
    access.ScopeMissingError: (403, "scope_missing"),
    access.RateLimitError: (429, "rate_limited"),
    access.KeysUnavailableError: (503, "keys_unavailable"),
    inference.SignatureMismatchError: (422, "signature_mismatch"),
    inference.EmptyBatchError: (422, "empty_batch"),
    inference.MalformedColumnsError: (400, "malformed_columns"),
    inference.ModelFailedError: (500, "model_failed"),
    inference.RowsRefusedError: (422, "model_refused"),
    inference.QueueFullError: (503, "overloaded"),
    inference.DeadlineExceededError: (504, "deadline_exceeded"),
    inference.DrainingError: (503, "draining"),
    inference.RuntimeLoadError: (503, "model_not_loaded"),
    monitoring.SpoolFullError: (503, "prediction_log_full"),
    monitoring.PredictionNotFoundError: (404, "prediction_not_found"),
    monitoring.LogUnavailableError: (503, "prediction_log_unavailable"),
    registry.InvalidReferenceError: (400, "invalid_reference"),
    registry.ModelNotFoundError: (404, "model_not_found"),
    registry.AliasConflictError: (409, "alias_conflict"),
    registry.RegistryUnavailableError: (503, "registry_unavailable"),
    registry.DigestMismatchError: (409, "digest_mismatch"),
    registry.FilesChangedError: (409, "digest_mismatch"),
    registry.ReadOnlyRegistryError: (403, "registry_read_only"),
    registry.GateRefusedError: (409, "gate_refused"),
    registry.GateRecordError: (409, "gate_refused"),
    rollout.RolloutNotFoundError: (404, "rollout_not_found"),
    rollout.RolloutConflictError: (409, "rollout_conflict"),
    rollout.InvalidPlanError: (422, "invalid_plan"),
    rollout.OverrideRefusedError: (403, "override_refused"),
    rollout.NoUnitsError: (422, "no_units"),
    rollout.UnderpoweredPlanError: (422, "underpowered_plan"),
    rollout.RolloutGateError: (409, "rollout_gate_refused"),
    rollout.ReplayGateError: (409, "replay_refused"),
    replay.ReplayError: (422, "invalid_replay"),
    replay.NothingLoggedError: (422, "nothing_logged"),
    replay.ColumnsMissingError: (422, "columns_missing"),
    replay.NotCompiledError: (422, "not_compiled"),
    replay.NotComparableError: (422, "not_comparable"),
    replay.ReplayQueueFullError: (503, "overloaded"),
    replay.ReplayNotFoundError: (404, "replay_not_found"),
    replay.NoReplayReportError: (409, "no_report"),
    remotes.RemoteUnavailableError: (503, "remote_unavailable"),
    remotes.RemoteTimeoutError: (504, "remote_timeout"),
    remotes.RemoteFailedError: (502, "remote_error"),
    remotes.RemoteMismatchError: (502, "remote_mismatch"),
    remotes.RemoteRefusedError: (422, "model_refused"),
    remotes.InvalidRemoteError: (422, "invalid_remote"),
    remotes.RemoteError: (502, "remote_error"),
    runners.RunnerCrashedError: (500, "model_crashed"),
    runners.RunnerStartError: (503, "model_not_started"),
    runners.RunnerEnvironmentError: (503, "model_not_loaded"),
    runners.MlModelError: (503, "model_not_loaded"),
    runners.UntrustedModelError: (503, "model_not_loaded"),
    runners.RunnerError: (500, "model_failed"),
    assessment.AssessmentError: (422, "invalid_bias_test"),
    assessment.BiasTestNotFoundError: (404, "bias_test_not_found"),
    assessment.NoReportError: (409, "no_report"),
    assessment.TaskQueueFullError: (503, "overloaded"),
    assessment.DataSetNotFoundError: (404, "dataset_not_found"),
    assessment.DataSetTooLargeError: (413, "too_large"),
    assessment.DataSetNameError: (422, "invalid_dataset"),
    assessment.DataSetFormatError: (422, "invalid_dataset"),
    explanation.NotInstalledError: (501, "not_supported"),
    explanation.NotExplainableError: (422, "not_explainable"),
    explanation.ExplanationTimeError: (504, "deadline_exceeded"),
    explanation.ExplanationBusyError: (503, "overloaded"),
    tracking.TrackingDisabledError: (400, "tracking_disabled"),
    tracking.UnknownProviderError: (400, "unknown_provider"),
    tracking.RunNotFoundError: (404, "run_not_found"),
    tracking.ProviderUnavailableError: (503, "provider_unavailable"),
    FairnessError: (422, "invalid_bias_test"),
    SourceError: (422, "invalid_dataset"),
    DatabaseError: (503, "database_unavailable"),
}
"""Status and code of every error a client can cause or meet; anything else is a bug and answers 500."""

GRPC_CODES: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "FAILED_PRECONDITION",
    413: "RESOURCE_EXHAUSTED",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The gRPC code of each status above. Overload alone has another than its status: see `grpc_code`."""

OFFLINE: Final = frozenset(
    {
        InsecureError,
        access.InvalidKeyError,
        access.KeyNotFoundError,
        inference.CompileError,
        inference.ParityError,
        monitoring.FeatureStoreError,
        monitoring.NoProfileError,
        monitoring.ProfileDamagedError,
        rollout.LeaseLostError,
        tracking.OutboxFullError,
        tracking.RecordRefusedError,
    }
)
"""Errors that only offline work (training, registration, keys, starting, sending to trackers) can meet."""

_KNOWS_WHEN: Final = (
    inference.QueueFullError,
    access.RateLimitError,
    assessment.TaskQueueFullError,
    remotes.RemoteUnavailableError,
)
"""Errors that know when to try again."""

_CHALLENGE: Final = b'Bearer realm="fairmind"'  # RFC 6750

OFFLINE_PACKAGES: Final = frozenset({"cli", "loadtests", "training"})
"""Packages whose errors no client can meet: no package of a serving process imports them, which a test holds."""


def describe(error: BaseException) -> tuple[int, str, str]:
    """Return HTTP status, code and message of an error; a bug is described without its details."""
    for kind in type(error).__mro__:
        if kind in HTTP_STATUSES:
            status, code = HTTP_STATUSES[kind]
            return status, code, str(error)
    return 500, "internal_error", "internal error; the server's log has the details under this request id"


def grpc_code(status: int, code: str) -> str:
    """Return the gRPC code of what `describe` returned.

    UNAVAILABLE tells a client to try at once elsewhere, which is the last thing that an overloaded worker needs.
    """
    return "RESOURCE_EXHAUSTED" if code == "overloaded" else GRPC_CODES[status]


def extra_headers(error: BaseException, status: int) -> list[tuple[bytes, bytes]]:
    """Return the headers an error's answer carries beside its body: when to retry, which method to use."""
    if isinstance(error, MethodError):
        return [(b"allow", error.allowed.encode())]
    if isinstance(error, access.KeyRequiredError):
        return [(b"www-authenticate", _CHALLENGE)]
    if isinstance(error, access.KeyRefusedError):
        return [(b"www-authenticate", _CHALLENGE + b', error="invalid_token"')]
    if isinstance(error, access.ScopeMissingError):
        scopes = " ".join(error.needed)
        return [(b"www-authenticate", _CHALLENGE + f', error="insufficient_scope", scope="{scopes}"'.encode())]
    if status in {429, 503}:
        seconds = 1.0
        if isinstance(error, _KNOWS_WHEN):
            seconds = error.retry_after
        return [(b"retry-after", str(max(1, math.ceil(seconds))).encode())]
    return []
