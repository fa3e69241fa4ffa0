"""Whether the gRPC port is free, asked once before workers share it."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from typing import Final

from bentos.settings import ServingSettings

_HOST_OPTION: Final = "BENTOML_HOST"


def grpc_port_or_exit(serving: ServingSettings) -> None:
    """End the process with one line on standard error and status 1 where something listens on the gRPC port.

    Workers share the port, and so the kernel would share it with another server of the same user too: each would
    get some of the other's calls.
    """
    host = os.environ.get(_HOST_OPTION, serving.host)
    if not is_free(host, serving.grpc_port):
        sys.stderr.write(
            f"error: something listens on {host}:{serving.grpc_port} already; choose another port for gRPC "
            "with --grpc-port or FAIRMIND_BENTOS_GRPC_PORT\n"
        )
        raise SystemExit(1)


def is_free(host: str, port: int) -> bool:
    """Return whether nothing listens on a port of an address; one that is not ours to listen on is free."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return True  # no address: BentoML refuses it in its own words
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family) as probe:
        # What a server that has ended leaves behind is no server; one that listens refuses this all the same.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
