"""Requests of one row over gRPC, read from their bytes by what is known of the ones before.

Names, datatypes and shapes of a model's inputs are the same in request after request, and taking them apart costs
more than the values do. On the wire they stand all together, in the order of the fields' numbers: the model's name,
the request's id, its parameters, then the inputs, and behind these their raw values. So a request whose inputs are
known to the byte needs no protobuf message: what is read are the id, the unit and the values.

Whatever is written in another way, or has anything else in it, is left to protobuf. What protobuf would refuse, or
read otherwise, is never read here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from inference.grpc_messages import ModelInferRequest

_MOST_KEPT: Final = 256
_LONGEST_KEPT: Final = 65_536
_PATIENCE: Final = 64
_ONE_BYTE: Final = 128  # what is as long as this has its length in more than one byte
_NAME, _ID, _PARAMETERS, _RAW = 0x0A, 0x1A, 0x22, 0x3A  # tags: the field's number times 8, and 2 for bytes
_UNIT: Final = b"\x0a\x04unit\x12"  # an entry of the parameters as far as the lengths of its value
_UNIT_AT: Final = len(_UNIT) + 3  # the parameter's length, and tag and length of the string in it
_STRING: Final = 0x1A
_TEXTS: Final = {length: bytes((_RAW, length, length - 4, 0, 0, 0)) for length in range(4, _ONE_BYTE)}
"""What stands before the bytes of one string: the tag, the length of the value, and in it that of the string."""
_TEXT, _FLAG = 0, 1
_KINDS: Final[dict[str, Any]] = {
    "BYTES": _TEXT,
    "BOOL": _FLAG,
    "FP64": struct.Struct("<d").unpack_from,
    "INT64": struct.Struct("<q").unpack_from,
}
_WORD: Final = bytes((_RAW, 8))
_FLAGS: Final = {bytes((_RAW, 1, 0)): False, bytes((_RAW, 1, 1)): True}
_Columns = tuple[tuple[str, Any], ...]


@dataclass(slots=True)
class Asked:
    """What a request asks: of which model, for which unit, and the one row it has where it is plain.

    Names are empty where there are none. `unit` is what the request's parameters say, whatever that is, and
    `params` are the model's own among them. `message` is the request itself, None where nobody needed it.
    """

    model: str
    id: str
    unit: Any
    row: dict[str, Any] | None
    version: str = ""
    params: Mapping[str, Any] | None = None
    message: Any = None


class KnownRows:
    """Reads the requests of one row that are written like the ones before."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[str, bytes, _Columns]] = {}
        self._misses = 0

    def read(self, content: bytes) -> Asked | None:
        """Return what the request `content` says, None where protobuf has to look."""
        try:
            at = 2 + content[1]
            known = self._known.get(content[:at])
            if known is None:
                return None
            model, head, columns = known
            given_id, unit = "", None
            if content[at] == _ID and (size := content[at + 1]) < _ONE_BYTE:
                given_id = content[at + 2 : at + 2 + size].decode()
                at += 2 + size
            if content[at] == _PARAMETERS and (size := content[at + 1]) < _ONE_BYTE:
                start, end = at + 2 + _UNIT_AT, at + 2 + size
                is_unit = content.startswith(_UNIT, at + 2)
                if not is_unit or content[start - 3 : start] != bytes((end - start + 2, _STRING, end - start)):
                    return None
                unit = content[start:end].decode()
                at = end
            if not content.startswith(head, at):
                return None
            row = _values(content, at + len(head), columns)
        except (IndexError, KeyError, ValueError, struct.error):
            return None
        return None if row is None else Asked(model, given_id, unit, row)

    def learn(self, message: Any, content: bytes) -> None:
        """Remember how the inputs of a request are written that was read as one row of raw values."""
        # Clients that differ must not have it learnt anew for each request.
        self._misses += 1
        model = message.model_name.encode()
        name = bytes((_NAME, len(model))) + model if 0 < len(model) < _ONE_BYTE else b""
        if not name or not content.startswith(name) or (name in self._known and self._misses % _PATIENCE):
            return
        head = ModelInferRequest(inputs=message.inputs).SerializeToString()
        if len(head) > _LONGEST_KEPT:
            return
        if len(self._known) >= _MOST_KEPT:
            self._known.clear()
        columns = tuple((given.name, _KINDS[given.datatype]) for given in message.inputs)
        self._known[name] = message.model_name, head, columns


def _values(content: bytes, at: int, columns: _Columns) -> dict[str, Any] | None:
    """Return the row that the raw values from `at` to the end make, None where they are not one for each column."""
    row: dict[str, Any] = {}
    for name, kind in columns:
        if kind is _TEXT:
            end = at + 2 + (size := content[at + 1])
            if not content.startswith(_TEXTS[size], at):
                return None
            row[name] = content[at + 6 : end].decode()
            at = end
        elif kind is _FLAG:
            row[name] = _FLAGS[content[at : at + 3]]
            at += 3
        else:
            if not content.startswith(_WORD, at):
                return None
            (row[name],) = kind(content, at + 2)
            at += 10
    return row if at == len(content) else None
