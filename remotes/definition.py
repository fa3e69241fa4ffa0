"""What a remote variant is: where it is called, how, and how its answers are read; kept as `remote.json`."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inference.decision import Decision
from inference.errors import RuntimeLoadError
from inference.loading import DECISION_FILE, REMOTE_FILE, SIGNATURE_FILE, read_part
from inference.signature import Signature, Task

FAIRMIND_FOLDER: Final = "fairmind"

VARIABLES: Final = r"^REMOTE_TOKEN(_[A-Z0-9_]+)?$"
"""What variables are called that may be sent to a server: no other secret of the process is for anybody else."""


class RemoteProtocol(StrEnum):
    """What the server speaks."""

    OIP = "oip"
    OIP_GRPC = "oip-grpc"
    MLFLOW = "mlflow"
    KSERVE_V1 = "kserve-v1"

    @property
    def is_oip(self) -> bool:
        """Whether inputs and outputs are the named tensors of the Open Inference Protocol."""
        return self in {RemoteProtocol.OIP, RemoteProtocol.OIP_GRPC}


class Reading(StrEnum):
    """What one of the remote's outputs is to us."""

    LABEL = "label"  # one of the signature's classes per row
    PROBABILITY = "probability"  # P(classes[1]) per row
    PROBABILITIES = "probabilities"  # K numbers per row, in the order of the classes
    VALUE = "value"  # the prediction as it is


class Output(BaseModel):
    """One output of the remote and how it is read.

    `name` is a tensor's, or a key where predictions are objects; None where the answer has no names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    reading: Reading


class RemoteDefinition(BaseModel):
    """A remote model.

    `model` is its name there (MLflow's protocol has none) and `pinned` the version asked for by number; `version`
    is what the server reported when it was registered, None where it reports none. `layout` says whether rows go as
    a tensor per column or as one matrix called `matrix_name`; `datatypes` are those of their inputs, by name.
    `is_tall` says that its tensors have the shape [N, 1]. `token_env` names the environment variable whose value
    is sent as `Authorization: Bearer`: the credential itself is kept nowhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    url: str
    protocol: RemoteProtocol
    model: str | None = None
    pinned: str | None = None
    version: str | None = None
    layout: Literal["columns", "matrix"] = "columns"
    matrix_name: str = "input"
    datatypes: Mapping[str, str] = {}
    is_tall: bool = False
    outputs: tuple[Output, ...] = Field(min_length=1, max_length=2)
    timeout_seconds: float = Field(default=2.0, gt=0, le=600)
    connect_seconds: float = Field(default=1.0, gt=0, le=60)
    token_env: str | None = Field(default=None, pattern=VARIABLES)
    max_answer_bytes: int = Field(default=64_000_000, ge=1_000)
    max_in_flight: int = Field(default=64, ge=1)
    max_batch_rows: int = Field(default=1_000, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        parts = urlsplit(self.url)
        _ = parts.port  # raises a ValueError where it is none
        if self.pinned is not None and self.protocol is RemoteProtocol.MLFLOW:
            raise ValueError("the protocol mlflow has no versions to pin")
        schemes = {"grpc", "grpcs"} if self.protocol is RemoteProtocol.OIP_GRPC else {"http", "https"}
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"its URL must be {' or '.join(f'{one}://HOST' for one in sorted(schemes))}")
        if parts.username or parts.password:
            raise ValueError("its URL holds a credential; name an environment variable that does (token_env)")
        if parts.query or parts.fragment:
            raise ValueError("its URL may have a path, and neither a query nor a fragment")
        if (self.model is None) != (self.protocol is RemoteProtocol.MLFLOW):
            raise ValueError("name the model there, unless the protocol is mlflow, which knows no names")
        return self

    @property
    def address(self) -> str:
        """The URL without its last slash."""
        return self.url.rstrip("/")

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs that are read, to be asked for by name: MLServer's scikit-learn runtime gives probabilities
        only to who asks for them."""
        return tuple(output.name for output in self.outputs if output.name is not None)

    @property
    def is_secret_safe(self) -> bool:
        """Whether a token may be sent: over TLS, or to this machine."""
        parts = urlsplit(self.url)
        if parts.scheme in {"https", "grpcs"}:
            return True
        try:
            return ipaddress.ip_address(parts.hostname or "").is_loopback
        except ValueError:
            return parts.hostname == "localhost"


class RemoteModel(BaseModel):
    """A remote model with its signature and its decision rule: all that its version's files say."""

    model_config = ConfigDict(frozen=True)

    definition: RemoteDefinition
    signature: Signature
    decision: Decision = Decision()

    @property
    def is_remote(self) -> bool:
        """Always true: it answers from elsewhere, and may take parameters of its own."""
        return True

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.decision.check(self.signature)
        readings = {output.reading for output in self.definition.outputs}
        if len(readings) != len(self.definition.outputs):
            raise ValueError("two outputs are read as the same thing")
        if {Reading.PROBABILITY, Reading.PROBABILITIES} <= readings:
            raise ValueError("probabilities are read from one output")
        scored = readings - {Reading.LABEL, Reading.VALUE}
        if scored and not self.signature.classes:
            raise ValueError("probabilities are of classes: name them")
        if Reading.PROBABILITY in readings and self.signature.task is not Task.BINARY:
            raise ValueError("one probability per row is that of the second of two classes")
        if Reading.VALUE in readings and (self.signature.classes or len(readings) > 1):
            raise ValueError("a value is the only output of what is no classifier")
        if Reading.LABEL in readings and not self.signature.classes:
            raise ValueError("labels are of classes: name them")
        return self


def is_remote(folder: Path) -> bool:
    """Return whether the version in `folder` is answered by a server of its own."""
    return (folder / FAIRMIND_FOLDER / REMOTE_FILE).is_file()


def read_remote(folder: Path) -> RemoteModel:
    """Return the remote model that the version in `folder` is; asks nobody.

    Raises:
        RuntimeLoadError: A file is missing, damaged, or does not fit the others.
    """
    own = folder / FAIRMIND_FOLDER
    definition = read_part(own / REMOTE_FILE, RemoteDefinition)
    signature, decision = read_part(own / SIGNATURE_FILE, Signature), read_part(own / DECISION_FILE, Decision)
    try:
        return RemoteModel(definition=definition, signature=signature, decision=decision)
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise RuntimeLoadError(str(own), f"its parts do not fit together ({reason})") from error
