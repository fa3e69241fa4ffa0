"""ModelInfer messages made of the same people as all other bodies, and what the answers say.

The messages are read from the compiled interface that is part of the project, as any client could.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import httpx
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from loadtests.bench.bodies import Answer, Bodies
from loadtests.bench.contenders import Contender
from loadtests.rows import Inputs, Person

METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
GENERATOR: Final = "loadtests.bench.grpc_client"
Metadata = tuple[tuple[str, str], ...]
_INTERFACE: Final = Path(__file__).resolve().parents[2] / "inference" / "inference.desc"
_FORMATS: Final = {"FP64": "<d", "INT64": "<q", "BOOL": "<?"}


def message_types() -> tuple[Any, Any]:
    """Return the classes of a ModelInfer request and of its answer."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(_INTERFACE.read_bytes()).file:
        pool.Add(file)
    names = ("inference.ModelInferRequest", "inference.ModelInferResponse")
    request, response = (message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names)
    return request, response


_Request, _Response = message_types()


def infer_messages(inputs: Inputs, persons: Sequence[Person], units: Sequence[str]) -> Bodies:
    """Return one serialised ModelInfer request per person, all tensors raw."""
    return tuple(_message(inputs, person, unit) for person, unit in zip(persons, units, strict=True))


def _message(inputs: Inputs, person: Person, unit: str) -> bytes:
    request = _Request(model_name=inputs.model)
    request.parameters["unit"].string_param = unit
    for name, datatype in inputs.datatypes.items():
        request.inputs.add(name=name, datatype=datatype, shape=[1])
        value = person.features[name]
        if datatype == "BYTES":
            text = ("" if value is None else str(value)).encode()
            request.raw_input_contents.append(len(text).to_bytes(4, "little") + text)
        else:
            number = float("nan") if value is None else value
            request.raw_input_contents.append(struct.pack(_FORMATS[datatype], number))
    content: bytes = request.SerializeToString()
    return content


def read_message(content: bytes) -> list[Answer]:
    """Read the probabilities [N, 2] of an answer."""
    answer = _Response.FromString(content)
    names = [output.name for output in answer.outputs]
    raw = answer.raw_output_contents[names.index("probabilities")]
    return [Answer(probability=value) for value in np.frombuffer(raw, "<f8").tolist()[1::2]]


def metadata_of(headers: Mapping[str, str]) -> Metadata:
    """Return headers as gRPC's metadata, whose names are lower case."""
    return tuple((name.lower(), value) for name, value in headers.items())


@dataclass(frozen=True, slots=True)
class GrpcContender(Contender):
    """One that is asked over gRPC; `path` is its method, and the headers go along as metadata."""

    headers: Mapping[str, str] = field(default_factory=dict)

    def ask(self, client: httpx.Client, body: bytes) -> list[Answer]:
        """Send one body and return what was said of its rows."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            return read_message(
                channel.unary_unary(self.path)(body, timeout=60.0, metadata=metadata_of(self.headers))
            )
