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
from bentos.oip_tensors import PROBABILITIES, found_outputs, parse_outputs
from inference.encoded_tensors import raw_tensor
from inference.errors import MalformedColumnsError, Mismatch, SignatureMismatchError
from inference.grpc_messages import ModelInferResponse
from inference.served_model import Predictions
from inference.signature import Signature
from inference.tensors import Tensor, tensor_from_raw, with_base64_decoded

_MAX_TEXT: Final = 200
ALL_OUTPUTS: Final = parse_outputs(None, {}).names
"""What is answered where a request does not say which outputs it wants."""
_PREPARED: Final = 256
_WORD: Final = 8
_ID_LENGTH: Final = 36  # of a request's id, a UUID
_DOUBLE, _LONG, _LENGTH = struct.Struct("<d"), struct.Struct("<q"), struct.Struct("<I")
_RAW: Final = ModelInferResponse.DESCRIPTOR.fields_by_name["raw_output_contents"].number << 3 | 2
_ONE_BYTE: Final = 128
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
        values, probabilities = predictions.prediction, predictions.probabilities
        is_plain = names is ALL_OUTPUTS and values.dtype.kind in "if" and values.dtype.itemsize == _WORD
        key: tuple[Any, ...] = ()
        head = None
        if is_plain:
            shape = None if probabilities is None else probabilities.shape
            key = (common, signature.classes, values.dtype.kind, values.shape, shape)
            head = self._heads.get(key)
        if head is None:
            outputs, raws = _described(predictions, signature, names)
            if not is_plain:
                key = (common, *outputs)
            head = self._heads.get(key) or self._prepare(key, _head(common, outputs))
        else:
            raws = [values.tobytes()] if probabilities is None else [values.tobytes(), probabilities.tobytes()]
        pieces = [head, _PREDICTION_ID, request_id.encode()]
        if given_id:
            pieces.append(ModelInferResponse(id=given_id).SerializeToString())
        for raw in raws:
            size = len(raw)
            pieces += (_RAW_SIZES[size] if size < _ONE_BYTE else _raw_tag(size), raw)
        return b"".join(pieces)

    def _prepare(self, key: tuple[Any, ...], head: bytes) -> bytes:
        if len(self._heads) >= _PREPARED:
            self._heads.clear()
        self._heads[key] = head
        return head


def _described(
    predictions: Predictions, signature: Signature, names: frozenset[str]
) -> tuple[list[tuple[Any, ...]], list[bytes]]:
    """Return what is said of each output: name, datatype, shape, parameters and classes; and their raw values."""
    outputs: list[tuple[Any, ...]] = []
    raws: list[bytes] = []
    for name, values, explained in found_outputs(predictions, signature, names):
        described, raw = raw_tensor(name, values)
        raws.append(raw)
        classes = signature.classes if name == PROBABILITIES else ()
        outputs.append((name, described["datatype"], values.shape, tuple(explained.items()), classes))
    return outputs, raws


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


def _raw_tag(size: int) -> bytes:
    """Return what stands before a raw output of so many bytes: the field's tag and the length, as a varint."""
    tag = bytearray((_RAW,))
    while size >= _ONE_BYTE:
        tag.append(size & 0x7F | _ONE_BYTE)
        size >>= 7
    tag.append(size)
    return bytes(tag)


_RAW_SIZES: Final = tuple(map(_raw_tag, range(_ONE_BYTE)))


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
        reason, row = f"does not fit {datatype}", int(outside.argmax())
        raise SignatureMismatchError(reason, kind=Mismatch.OUT_OF_RANGE, column=name[:_MAX_TEXT], row=row)


def _text(value: bytes, row: int, label: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise MalformedColumnsError(f"input '{label}', row {row}: is not UTF-8") from None


def _says_base64(given: Any) -> bool:
    return parameters_of(given.parameters).get("content_type") == "base64"
