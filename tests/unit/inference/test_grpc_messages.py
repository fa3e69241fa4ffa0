"""The interface: what is kept compiled is what the file says, and the file says what is published."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool

from inference.grpc_messages import DESCRIPTOR_FILE, POOL, SERVICE, message_type

# Field numbers of open-inference/open-inference-protocol and, for the repository, of Triton's and KServe's.
PUBLISHED = {
    "ServerLiveResponse": {"live": 1},
    "ServerReadyResponse": {"ready": 1},
    "ModelReadyRequest": {"name": 1, "version": 2},
    "ModelReadyResponse": {"ready": 1},
    "ServerMetadataResponse": {"name": 1, "version": 2, "extensions": 3},
    "ModelMetadataRequest": {"name": 1, "version": 2},
    "ModelMetadataResponse.TensorMetadata": {"name": 1, "datatype": 2, "shape": 3},
    "ModelMetadataResponse": {"name": 1, "versions": 2, "platform": 3, "inputs": 4, "outputs": 5},
    "ModelInferRequest.InferInputTensor": {
        "name": 1,
        "datatype": 2,
        "shape": 3,
        "parameters": 4,
        "contents": 5,
    },
    "ModelInferRequest.InferRequestedOutputTensor": {"name": 1, "parameters": 2},
    "ModelInferRequest": {
        "model_name": 1,
        "model_version": 2,
        "id": 3,
        "parameters": 4,
        "inputs": 5,
        "outputs": 6,
        "raw_input_contents": 7,
    },
    "ModelInferResponse.InferOutputTensor": {
        "name": 1,
        "datatype": 2,
        "shape": 3,
        "parameters": 4,
        "contents": 5,
    },
    "ModelInferResponse": {
        "model_name": 1,
        "model_version": 2,
        "id": 3,
        "parameters": 4,
        "outputs": 5,
        "raw_output_contents": 6,
    },
    "InferParameter": {
        "bool_param": 1,
        "int64_param": 2,
        "string_param": 3,
        "double_param": 4,
        "uint64_param": 5,
    },
    "InferTensorContents": {
        "bool_contents": 1,
        "int_contents": 2,
        "int64_contents": 3,
        "uint_contents": 4,
        "uint64_contents": 5,
        "fp32_contents": 6,
        "fp64_contents": 7,
        "bytes_contents": 8,
    },
    "ModelRepositoryParameter": {"bool_param": 1, "int64_param": 2, "string_param": 3, "bytes_param": 4},
    "RepositoryIndexRequest": {"repository_name": 1, "ready": 2},
    "RepositoryIndexResponse.ModelIndex": {"name": 1, "version": 2, "state": 3, "reason": 4},
    "RepositoryIndexResponse": {"models": 1},
    "RepositoryModelLoadRequest": {"repository_name": 1, "model_name": 2, "parameters": 3},
    "RepositoryModelUnloadRequest": {"repository_name": 1, "model_name": 2, "parameters": 3},
    "RepositoryModelLoadResponse": {"model_name": 1, "isLoaded": 2},
    "RepositoryModelUnloadResponse": {"model_name": 1, "isUnloaded": 2},
}


def test_the_compiled_interface_is_what_the_file_says(tmp_path: Path) -> None:
    compiled = tmp_path / "inference.desc"
    folder = DESCRIPTOR_FILE.parent
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(folder)]
    subprocess.run([*command, f"--descriptor_set_out={compiled}", "inference.proto"], check=True)
    assert compiled.read_bytes() == DESCRIPTOR_FILE.read_bytes(), "stale: make generate"


@pytest.mark.parametrize("message", PUBLISHED)
def test_names_and_numbers_are_the_published_ones(message: str) -> None:
    fields = message_type(message).DESCRIPTOR.fields_by_name
    assert {name: field.number for name, field in fields.items()} == PUBLISHED[message]


def test_no_message_is_without_its_published_numbers() -> None:
    (file,) = {message_type("ModelInferRequest").DESCRIPTOR.file}
    found = set()
    for name, message in file.message_types_by_name.items():
        nested = [f"{name}.{one.name}" for one in message.nested_types if not one.GetOptions().map_entry]
        found |= {name, *nested} if message.fields else set(nested)
    assert found == set(PUBLISHED)


def test_every_method_takes_and_gives_the_messages_that_bear_its_name() -> None:
    methods = POOL.FindServiceByName(SERVICE).methods_by_name
    assert len(methods) == 9
    for name, method in methods.items():
        assert (method.input_type.name, method.output_type.name) == (f"{name}Request", f"{name}Response")


def test_the_messages_are_not_in_the_pool_that_all_libraries_share() -> None:
    """A client library in the same process defines the same names there."""
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")
