"""The client of each protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from remotes.client import RemoteClient
from remotes.definition import RemoteModel, RemoteProtocol
from remotes.json_rows import KserveV1Client, MlflowClient
from remotes.oip_grpc import OipGrpcClient
from remotes.oip_rest import OipRestClient

_CLIENTS: Final[Mapping[RemoteProtocol, Callable[[RemoteModel], RemoteClient]]] = {
    RemoteProtocol.OIP: OipRestClient,
    RemoteProtocol.OIP_GRPC: OipGrpcClient,
    RemoteProtocol.MLFLOW: MlflowClient,
    RemoteProtocol.KSERVE_V1: KserveV1Client,
}


def open_client(model: RemoteModel) -> RemoteClient:
    """Return a client of the model; nothing is connected yet.

    Raises:
        InvalidRemoteError: The token for it is not in the environment, or would be sent in the clear.
    """
    return _CLIENTS[model.definition.protocol](model)
