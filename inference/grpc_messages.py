"""The messages of `inference.proto`, made from its compiled descriptor set.

They live in a descriptor pool of their own and there is no generated code: code made by one release of protobuf
refuses to run with others, and in the common pool the names would collide with those of every client library that
defines the same protocol (docs/adr/0016).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

DESCRIPTOR_FILE: Final = Path(__file__).with_name("inference.desc")
SERVICE: Final = "inference.GRPCInferenceService"


def _load() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_FILE.read_bytes()).file:
        pool.Add(file)
    return pool


POOL: Final = _load()


def message_type(name: str) -> Any:
    """Return the class of one of the protocol's messages."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"inference.{name}"))


ModelInferRequest: Final = message_type("ModelInferRequest")
ModelInferResponse: Final = message_type("ModelInferResponse")
