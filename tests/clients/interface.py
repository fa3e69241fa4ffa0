"""The messages that a client brings along, compared with ours: both sides must mean the same bytes."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from inference.grpc_messages import DESCRIPTOR_FILE

Field = tuple[int, int, int]


def client_fields(encoded: str) -> dict[str, dict[str, Field]]:
    """Return number, type and label of the fields of a client's messages, given its file in base64."""
    return dict(_messages(FileDescriptorProto.FromString(base64.b64decode(encoded))))


def our_fields() -> dict[str, dict[str, Field]]:
    """Return number, type and label of the fields of our messages."""
    (file,) = FileDescriptorSet.FromString(DESCRIPTOR_FILE.read_bytes()).file
    return dict(_messages(file))


def _messages(file: FileDescriptorProto) -> Iterator[tuple[str, dict[str, Field]]]:
    def below(message: DescriptorProto, prefix: str) -> Iterator[tuple[str, dict[str, Field]]]:
        name = f"{prefix}{message.name}"
        yield name, {field.name: (field.number, field.type, field.label) for field in message.field}
        for nested in message.nested_type:
            yield from below(nested, f"{name}.")

    for message in file.message_type:
        yield from below(message, "")
