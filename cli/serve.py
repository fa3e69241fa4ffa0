"""`fairmind serve`: the BentoML service, with this deployment's settings."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.failures import UsageError


def register(root: typer.Typer) -> None:
    """Add the command to the root command."""
    root.command()(serve)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="HTTP port.")] = None,
    grpc_port: Annotated[int | None, typer.Option("--grpc-port", min=1, max=65535, help="gRPC port.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Serving processes.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Serve beyond loopback without API keys.")] = False,
) -> None:
    """Serve the champions of all models over HTTP and gRPC, until stopped. `bentoml serve .` does the same."""
    command, environment = serve_command(
        host=host, port=port, grpc_port=grpc_port, workers=workers, insecure=insecure
    )
    os.execve(command[0], command, environment)  # noqa: S606  (no shell: our own interpreter and arguments)


def serve_command(
    *,
    host: str | None = None,
    port: int | None = None,
    grpc_port: int | None = None,
    workers: int | None = None,
    insecure: bool = False,
) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of a server.

    Raises:
        ConfigurationError: A setting is unknown or wrong.
        UsageError: The host is no address.
        InsecureError: It would listen beyond loopback without keys.
    """
    from bentos.configuration import Settings
    from bentos.exposure import check_exposure
    from database.home import Home

    settings = Settings.load()
    serving = settings.serving
    host = host or serving.host
    insecure = insecure or serving.insecure
    if not _is_loopback(host) and not insecure:
        check_exposure(settings, host)
    home = Home.at(settings.database.home)
    environment = os.environ | {
        "FAIRMIND_HOME": str(home.root),
        "FAIRMIND_BENTOS_HOST": host,
        "FAIRMIND_BENTOS_PORT": str(port or serving.port),
        "FAIRMIND_BENTOS_GRPC_PORT": str(grpc_port or serving.grpc_port),
        "FAIRMIND_BENTOS_WORKERS": str(workers or serving.workers),
        "FAIRMIND_BENTOS_INSECURE": str(insecure).lower(),
    }
    for name in ("tls_certificate", "tls_key", "tls_client_ca"):
        if (file := getattr(serving, name)) is not None:  # named from here, and opened in another folder
            environment[f"FAIRMIND_BENTOS_{name.upper()}"] = str(file)
    environment.setdefault("BENTOML_HOME", str(home.root / "bentoml"))
    root = Path(__file__).resolve().parent.parent
    # A module run by its name: the interpreter is the one we run in, whatever PATH says.
    command = [sys.executable, "-m", "bentoml", "serve", "service:FairMind", "--working-dir", str(root)]
    command += ["--host", host, "--port", environment["FAIRMIND_BENTOS_PORT"]]
    return command, environment


def _is_loopback(host: str) -> bool:
    from bentos.exposure import is_loopback

    try:
        return is_loopback(host)
    except ValueError:
        raise UsageError(f"'{host}' is not an IP address; BentoML listens on addresses, e.g. 127.0.0.1") from None
