"""The Open Inference Protocol over gRPC: health, metadata, inference and the repository's index.

The unit that decides the variant travels as the request parameter `unit` or in the metadata `x-fairmind-unit`. What
answered comes back as parameters of the answer and in its trailing metadata.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import grpc

from bentos import oip
from bentos.admission import ADMIN, METADATA, OPEN, PREDICT, READ
from bentos.dataplane import DataPlane, Features, Request
from bentos.errors import MalformedRequestError, NotReadyError, UnsupportedError
from bentos.grpc_call import OVERRIDE_KEY, PROTOCOL, UNIT_KEY, Answer, Call, Calls, Method, parsed
from bentos.grpc_rows import Asked, KnownRows
from bentos.grpc_tensors import ALL_OUTPUTS, Answers, parameters_of, parse_tensors, plain_row
from bentos.joined_parts import join_parts
from bentos.oip_tensors import parse_outputs
from bentos.readiness import readiness
from bentos.row_extras import NOTHING, extra_names, own_names, read_extras, split_tensors, units_of
from bentos.worker import Worker
from inference.chosen_rows import as_sent, tensors_at
from inference.columns import columns_from_rows
from inference.errors import SignatureMismatchError
from inference.grpc_messages import SERVICE, ModelInferRequest, message_type
from inference.runtime import EncodedColumns
from inference.signature import Signature
from inference.tensors import Tensor, columns_from_tensors, rows_in
from monitoring.predictions import BULK_ROWS

_MAX_TEXT: Final = 200
_NO_PARAMETERS: Final[Mapping[str, Any]] = {}
_EXTENSIONS: Final = ("model_repository",)
_ALIASES_DECIDE: Final = (
    "what is loaded follows the registry's aliases: `fairmind models promote` and FAIRMIND_BENTOS_MODELS decide it"
)

_ServerLive, _ServerReady, _ModelReady = map(
    message_type, ("ServerLiveResponse", "ServerReadyResponse", "ModelReadyResponse")
)
_ServerMetadata, _ModelMetadata, _Index = map(
    message_type, ("ServerMetadataResponse", "ModelMetadataResponse", "RepositoryIndexResponse")
)


class InferenceService(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC's classes carry no types
    """The methods of `inference.GRPCInferenceService`.

    Args:
        worker: What serves.
        calls: Wraps the methods.
    """

    def __init__(self, worker: Worker, calls: Calls) -> None:
        self._worker, self._calls, self._plane = worker, calls, DataPlane(worker)
        self._answers, self._rows = Answers(), KnownRows()
        self._live = _encoded(_ServerLive(live=True))
        methods: dict[str, Method] = {
            name: calls.wrap(_parsing(message_type(f"{name}Request"), answer), needed)
            for name, answer, needed in (
                ("ServerLive", self._server_live, OPEN),
                ("ServerReady", self._server_ready, OPEN),
                ("ServerMetadata", self._server_metadata, METADATA),
                ("ModelReady", self._model_ready, METADATA),
                ("ModelMetadata", self._model_metadata, METADATA),
                ("RepositoryIndex", self._repository_index, READ),
                ("RepositoryModelLoad", self._refuse_repository, ADMIN),
                ("RepositoryModelUnload", self._refuse_repository, ADMIN),
            )
        }
        methods["ModelInfer"] = calls.wrap(self._model_infer, PREDICT, predicts=True)
        self._handlers = {
            f"/{SERVICE}/{name}": grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()
        }

    def service(self, handler_call_details: Any) -> Any:
        """Return what handles a method, None where it is not ours."""
        return self._handlers.get(handler_call_details.method)

    async def _server_live(self, _request: Any, _call: Call) -> bytes:
        return self._live

    async def _server_ready(self, _request: Any, _call: Call) -> bytes:
        ready, _ = readiness(self._worker)
        return _encoded(_ServerReady(ready=ready))

    async def _server_metadata(self, _request: Any, _call: Call) -> bytes:
        known = oip.server_metadata()
        return _encoded(_ServerMetadata(name=known["name"], version=known["version"], extensions=_EXTENSIONS))

    async def _model_ready(self, request: Any, call: Call) -> bytes:
        try:
            call.model = self._plane.find(request.name or None, request.version or None).served.model
        except NotReadyError:
            return _encoded(_ModelReady(ready=False))
        return _encoded(_ModelReady(ready=True))

    async def _model_metadata(self, request: Any, call: Call) -> bytes:
        target = self._plane.find(request.name or None, request.version or None)
        call.model = target.served.model
        known = oip.model_metadata(target)
        answer = _ModelMetadata(name=known["name"], versions=known["versions"], platform=known["platform"])
        for described, tensors in ((known["inputs"], answer.inputs), (known["outputs"], answer.outputs)):
            for one in described:
                tensors.add(name=one["name"], datatype=one["datatype"], shape=one["shape"])
        return _encoded(answer)

    async def _repository_index(self, request: Any, _call: Call) -> bytes:
        answer = _Index()
        ready = {
            (served.model, version) for served in self._worker.models.values() for version in oip.versions(served)
        }
        for name, version in sorted(ready):
            answer.models.add(name=name, version=version, state="READY")
        for what, problem in sorted(self._worker.problems.items()):
            name, _, version = what.rpartition("/")
            if not request.ready and name and (name, version) not in ready:
                answer.models.add(name=name, version=version, state="UNAVAILABLE", reason=problem)
        return _encoded(answer)

    async def _refuse_repository(self, _request: Any, _call: Call) -> bytes:
        raise UnsupportedError(_ALIASES_DECIDE)

    async def _model_infer(self, call: Call) -> bytes:
        asked = self._rows.read(call.content) or self._opened(call)
        target = self._plane.find(asked.model or None, asked.version or None)
        call.model = target.served.model
        row, own = asked.row, own_names(target)
        tensors: Sequence[Tensor] = ()
        rows, extras = 1, NOTHING
        if row is None:
            tensors = parse_tensors(asked.message)
            rows = rows_in(tensors)
            self._plane.check_rows(rows)
            tensors, extras = split_tensors(tensors, own)
        elif row.keys() != own and (names := extra_names(row, own)):
            told = {name: [row.pop(name)] for name in names}
            extras = read_extras(names, told.__getitem__)
        unit = asked.unit if asked.unit is not None else call.metadata(UNIT_KEY)
        if unit is not None and (type(unit) is not str or not 0 < len(unit) <= _MAX_TEXT):
            raise MalformedRequestError(f"the unit must be a string of 1 to {_MAX_TEXT} characters")
        given_id = asked.id
        if len(given_id) > _MAX_TEXT:
            raise MalformedRequestError(f"'id' must be a string of at most {_MAX_TEXT} characters")
        outputs, message = ALL_OUTPUTS, asked.message
        if message is not None and message.outputs:
            outputs = parse_outputs([{"name": output.name} for output in message.outputs], _NO_PARAMETERS).names

        def decode(signature: Signature, positions: Sequence[int] | None) -> tuple[EncodedColumns, Features]:
            if row is not None:
                try:
                    return columns_from_rows([row], signature), [row]
                except SignatureMismatchError:
                    pass  # said in the words of tensors below
            sent = tensors
            if not sent:
                whole = parsed(ModelInferRequest, call.content) if message is None else message
                given = parse_tensors(whole)
                rows_in(given)
                sent = split_tensors(given, own)[0]
            try:
                columns = columns_from_tensors(tensors_at(sent, positions), signature)
            except SignatureMismatchError as error:
                raise as_sent(error, positions) from None
            return columns, columns if rows > BULK_ROWS else dict(columns)

        request = Request(
            id=call.request_id,
            protocol=PROTOCOL,
            rows=rows,
            decode=decode,
            started=call.started,
            units=units_of(extras, unit, rows),
            protected=extras.protected,
            caller_ids=extras.ids or ([given_id] if rows == 1 and given_id else None),
            params=asked.params,
            patience=call.patience,
            override=call.metadata(OVERRIDE_KEY),
        )
        answered = join_parts(await self._plane.answer(target, request), rows)
        told_of: Sequence[tuple[str, str]] = (
            ("x-fairmind-prediction-id", request.id),
            ("x-fairmind-model-version", answered.versions),
        )
        variant = None
        if call.principal.sees_variant:
            variant = answered.variants or ""
            told_of = (*told_of, ("x-fairmind-variant", variant))
        call.context.set_trailing_metadata(call.with_callers_id(told_of))
        return self._answers.encode(
            answered.predictions,
            answered.signature,
            outputs,
            common=(target.served.model, answered.versions, variant),
            request_id=request.id,
            given_id=given_id,
        )

    def _opened(self, call: Call) -> Asked:
        """Return what a request asks that is not written like those before, as far as its tensors."""
        message = parsed(ModelInferRequest, call.content)
        target = self._plane.find(message.model_name or None, message.model_version or None)
        call.model = target.served.model
        self._plane.check_columns(len(message.inputs))
        row = plain_row(message)
        if row is not None and message.raw_input_contents:
            self._rows.learn(message, call.content)
        parameters = parameters_of(message.parameters) if message.parameters else _NO_PARAMETERS
        return Asked(
            model=message.model_name,
            version=message.model_version,
            id=message.id,
            unit=parameters.get("unit"),
            params=oip.model_params(parameters),
            row=row,
            message=message,
        )


def _parsing(request_type: Any, answer: Callable[[Any, Call], Awaitable[bytes]]) -> Answer:
    """Return `answer` as it is called with no message yet."""

    def answer_call(call: Call) -> Awaitable[bytes]:
        return answer(parsed(request_type, call.content), call)

    return answer_call


def _encoded(message: Any) -> bytes:
    content: bytes = message.SerializeToString()
    return content
