"""The tensors of a ModelInfer request and of its answer, as protobuf messages.

Inputs come raw (`raw_input_contents`, one per input) or typed (each input's `contents`), never both. Outputs always
go out raw: not every client reads typed ones.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from bentos.errors import MalformedRequestError
from bentos.grpc_messages import ModelInferRequest, ModelInferResponse
from bentos.oip_tensors import PROBABILITIES, found_outputs
from inference.encoded_tensors import raw_tensor
from inference.errors import MalformedColumnsError, SignatureMismatchError
from inference.served_model import Predictions
from inference.signature import Signature
from inference.tensors import Tensor, tensor_from_raw, with_base64_decoded

_MAX_TEXT: Final = 200
_PREPARED: Final = 256
_PATIENCE: Final = 64
_WORD: Final = 8
_ID_LENGTH: Final = 36  # of a request's id, a UUID
_DOUBLE, _LONG, _LENGTH = struct.Struct("<d"), struct.Struct("<q"), struct.Struct("<I")
_ONE_VALUE: Final = ([1], [1, 1])

_FIELDS: Final[Mapping[str, tuple[str, np.dtype[Any]]]] = {
    "BOOL": ("bool_contents", np.dtype(np.bool_)),
    **{f"INT{bits}": ("int_contents", np.dtype(f"i{bits // 8}")) for bits in (8, 16, 32)},
    **{f"UINT{bits}": ("uint_contents", np.dtype(f"u{bits // 8}")) for bits in (8, 16, 32)},
    "INT64": ("int64_contents", np.dtype(np.int64)),
    "UINT64": ("uint64_contents", np.dtype(np.uint64)),
    "FP32": ("fp32_contents", np.dtype(np.float32)),
    "FP64": ("fp64_contents", np.dtype(np.float64)),
    "BYTES": ("bytes_contents", np.dtype(object)),
}
"""Where the typed values of each datatype are, and what they are; FP16 has no such field."""


def plain_row(request: Any) -> dict[str, Any] | None:
    """Return the row that inputs of one value each make, None where any of them is anything else.

    It is what most clients send, and costs a fifth of what tensors cost. Whatever is unusual, wrong or to be cast
    is left to `parse_tensors`.
    """
    raws, inputs = request.raw_input_contents, request.inputs
    is_raw = len(raws) > 0
    if is_raw and len(raws) != len(inputs):
        return None
    row: dict[str, Any] = {}
    try:
        for place, given in enumerate(inputs):
            if given.shape not in _ONE_VALUE:
                return None
            if given.parameters or (is_raw and given.HasField("contents")):
                return None
            row[given.name] = (
                _READERS[given.datatype](raws[place]) if is_raw else _one_typed(given.datatype, given.contents)
            )
    except (KeyError, ValueError, struct.error):
        return None
    return row if len(row) == len(inputs) else None


class PlainRows:
    """Reads requests of one row, and remembers for each model how the inputs of such a request were laid out.

    Names, datatypes and shapes of a model's inputs are the same in request after request, and taking them apart
    costs more than the values do. On the wire they stand, all together, before the raw values.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[bytes, tuple[tuple[str, Callable[[bytes], Any]], ...]]] = {}
        self._misses = 0

    def read(self, request: Any, content: bytes) -> dict[str, Any] | None:
        """Return what `plain_row` does; `content` is the request as it came."""
        raws = list(request.raw_input_contents)
        if not raws:
            return plain_row(request)
        known = self._known.get(request.model_name)
        if known is not None and len(raws) == len(known[1]) == len(request.inputs):
            head, columns = known
            # Each value has a tag and a length before it; where a length takes more than a byte, nothing matches.
            at = len(content) - sum(map(len, raws)) - 2 * len(raws) - len(head)
            if at > 0 and content.startswith(head, at):
                try:
                    return {name: read(raw) for (name, read), raw in zip(columns, raws, strict=True)}
                except (KeyError, ValueError, struct.error):
                    return None
        row = plain_row(request)
        if row is not None:
            self._remember(request)
        return row

    def _remember(self, request: Any) -> None:
        # Clients that differ must not have it learnt anew for each request.
        self._misses += 1
        if request.model_name in self._known and self._misses % _PATIENCE:
            return
        if len(self._known) >= _PREPARED:
            self._known.clear()
        head = ModelInferRequest(inputs=request.inputs).SerializeToString()
        columns = tuple((given.name, _READERS[given.datatype]) for given in request.inputs)
        self._known[request.model_name] = (head, columns)


def parse_tensors(request: Any) -> list[Tensor]:
    """Return the tensors of a request.

    Raises:
        MalformedRequestError, MalformedColumnsError: An input is no tensor, or its values are not where they
            belong.
    """
    raws, inputs = list(request.raw_input_contents), request.inputs
    if not inputs:
        raise MalformedRequestError("the request has no inputs")
    if raws and len(raws) != len(inputs):
        raise MalformedRequestError(
            f"the request has {len(inputs)} inputs and {len(raws)} raw_input_contents; give one for each, in order"
        )
    tensors: list[Tensor] = []
    for place, given in enumerate(inputs):
        name, label = given.name, given.name[:_MAX_TEXT]
        shape = list(given.shape)
        if any(size < 0 for size in shape):
            raise MalformedRequestError(f"input '{label}' has a negative size in its shape")
        if not raws:
            tensor = _typed_tensor(name, given.datatype, shape, given.contents)
        elif given.HasField("contents") and given.contents.ListFields():
            raise MalformedRequestError(f"input '{label}' has both contents and raw_input_contents")
        else:
            tensor = tensor_from_raw(name, given.datatype, shape, raws[place])
        if given.datatype == "BYTES" and given.parameters and _says_base64(given):
            tensor = with_base64_decoded(tensor)
        tensors.append(tensor)
    return tensors


def parameters_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message's parameters as plain values; one without a value is left out."""
    values: dict[str, Any] = {}
    for name, parameter in given.items():
        field = parameter.WhichOneof("parameter_choice")
        if field is not None:
            values[name] = getattr(parameter, field)
    return values


class Answers:
    """Encodes answers; what those of one variant have in common is encoded once.

    A protobuf message may be written in pieces: fields that are there twice are merged, so the piece with names,
    shapes and versions is kept, and the piece with the values is put behind it.
    """

    def __init__(self) -> None:
        self._heads: dict[tuple[Any, ...], bytes] = {}

    def encode(
        self,
        predictions: Predictions,
        signature: Signature,
        names: frozenset[str],
        *,
        common: tuple[str, str, str | None],
        request_id: str,
        given_id: str,
    ) -> bytes:
        """Return a ModelInferResponse.

        Args:
            predictions: What was predicted.
            signature: Of the version that predicted.
            names: The outputs that are wanted.
            common: The model, its version, and the parameter `fairmind_variant`, left out where it is None.
            request_id: The parameter `fairmind_prediction_id`.
            given_id: The caller's own id of the request.
        """
        raws: list[bytes] = []
        outputs: list[tuple[Any, ...]] = []
        for name, values, explained in found_outputs(predictions, signature, names):
            if values.dtype.kind in "if" and values.dtype.itemsize == _WORD:
                datatype, raw = "INT64" if values.dtype.kind == "i" else "FP64", values.tobytes()
            else:
                described, raw = raw_tensor(name, values)
                datatype = described["datatype"]
            raws.append(raw)
            classes = signature.classes if name == PROBABILITIES else ()
            outputs.append((name, datatype, values.shape, tuple(explained.items()), classes))
        key = (common, *outputs)
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) >= _PREPARED:
                self._heads.clear()
            head = self._heads[key] = _head(common, outputs)
        own = ModelInferResponse(id=given_id, raw_output_contents=raws).SerializeToString()
        return b"".join((head, _PREDICTION_ID, request_id.encode(), own))


def _head(common: tuple[str, str, str | None], outputs: Sequence[tuple[Any, ...]]) -> bytes:
    model, version, variant = common
    answer = ModelInferResponse(model_name=model, model_version=version)
    if variant is not None:
        answer.parameters["fairmind_variant"].string_param = variant
    for name, datatype, shape, explained, classes in outputs:
        output = answer.outputs.add(name=name, datatype=datatype, shape=shape)
        for parameter, text in explained:
            output.parameters[parameter].string_param = str(text)
        if classes:
            # The protocol's metadata has no room for it, and without it nobody knows whose probabilities these are.
            output.parameters["classes"].string_param = orjson.dumps(classes).decode()
    encoded: bytes = answer.SerializeToString()
    return encoded


def _before_prediction_id() -> bytes:
    """Return an answer that is nothing but the parameter with a request's id, as far as that id."""
    answer = ModelInferResponse()
    answer.parameters["fairmind_prediction_id"].string_param = "0" * _ID_LENGTH
    encoded: bytes = answer.SerializeToString()
    return encoded[:-_ID_LENGTH]


_PREDICTION_ID: Final = _before_prediction_id()


def _one_text(raw: bytes) -> str:
    if _LENGTH.unpack_from(raw)[0] != len(raw) - 4:
        raise ValueError
    return raw[4:].decode()


def _one_double(raw: bytes) -> Any:
    return _DOUBLE.unpack(raw)[0]


def _one_long(raw: bytes) -> Any:
    return _LONG.unpack(raw)[0]


_READERS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "BYTES": _one_text,
    "FP64": _one_double,
    "INT64": _one_long,
    "BOOL": {b"\0": False, b"\1": True}.__getitem__,
}
_PLAIN: Final = {"FP64": "fp64_contents", "INT64": "int64_contents", "BOOL": "bool_contents"}


def _one_typed(datatype: str, contents: Any) -> Any:
    ((field, values),) = contents.ListFields()
    (value,) = values
    if datatype == "BYTES" and field.name == "bytes_contents":
        return value.decode()
    if _PLAIN[datatype] != field.name:
        raise KeyError(datatype)
    return value


def _typed_tensor(name: str, datatype: str, shape: Sequence[int], contents: Any) -> Tensor:
    label = name[:_MAX_TEXT]
    found = _FIELDS.get(datatype)
    if found is None:
        if datatype == "FP16":
            raise MalformedColumnsError(f"input '{label}' is FP16, which comes in raw_input_contents only")
        raise MalformedColumnsError(f"input '{label}' has the unknown datatype {datatype[:_MAX_TEXT]}")
    field, dtype = found
    if any(filled.name != field for filled, _ in contents.ListFields()):
        raise MalformedColumnsError(f"input '{label}' is {datatype}: its values belong into {field} alone")
    values, size = getattr(contents, field), math.prod(shape)
    if len(shape) not in {1, 2}:
        return tensor_from_raw(name, datatype, shape, b"")  # which says what shapes there are
    if len(values) != size:
        raise MalformedColumnsError(
            f"input '{label}' has {len(values)} values in {field}, shape {shape} has {size}"
        )
    if dtype.kind == "O":
        return Tensor(name, datatype, shape, [_text(value, row, label) for row, value in enumerate(values)])
    array = np.array(list(values), dtype=np.int64 if dtype.itemsize < 8 and dtype.kind in "iu" else dtype)
    if array.dtype != dtype:
        _check_bounds(array, dtype, datatype, name)
    return Tensor(name, datatype, shape, array.astype(dtype, copy=False))


def _check_bounds(array: np.ndarray[Any, Any], dtype: np.dtype[Any], datatype: str, name: str) -> None:
    bounds = np.iinfo(dtype)
    outside = (array < bounds.min) | (array > bounds.max)
    if outside.any():
        raise SignatureMismatchError(f"does not fit {datatype}", column=name[:_MAX_TEXT], row=int(outside.argmax()))


def _text(value: bytes, row: int, label: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise MalformedColumnsError(f"input '{label}', row {row}: is not UTF-8") from None


def _says_base64(given: Any) -> bool:
    return parameters_of(given.parameters).get("content_type") == "base64"
