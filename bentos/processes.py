"""The two kinds of process behind the services: what each builds when BentoML asks for its application.

Whatever is heavy is imported in the process that needs it: a serving worker never sees MLflow, scikit-learn,
pandas or SQLAlchemy.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from _bentoml_sdk.service.factory import Service

from bentos.orphans import end_with_parent
from bentos.wire import App, Receive, Scope, Send
from database.home import Home, keep_files_private

FRONT_SERVICE: Final = "FairMind"
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_KEPT: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
WORKER_ENVIRONMENT: Final = [
    *({"name": name, "value": "1"} for name in _THREADS),
    *({"name": name, "value": str(64 * 2**20)} for name in _KEPT),
]
"""Numeric libraries get one thread per worker: workers are what scales. The allocator keeps up to 64 MiB it
has freed: fetching the pages of a large request's columns anew costs more than decoding them."""


class FrontDoorService(Service):  # type: ignore[misc]  # BentoML's class carries no types here
    """The BentoML service of a serving worker, with the front door before BentoML's own application."""

    def to_asgi(self, is_main: bool = True) -> App:
        """Return the application of one worker."""
        keep_files_private()
        end_with_parent()
        # uvicorn formats a line per request wherever its logger finds a handler, and BentoML gives the root one.
        logging.getLogger("uvicorn.access").propagate = False
        app = cast("App", super().to_asgi(is_main=is_main))
        from bentos.configuration import Settings
        from bentos.edge import FrontDoor
        from bentos.forwarding import Companion
        from bentos.grpc_server import GrpcServer
        from bentos.protocol import HotProtocol
        from bentos.telemetry import traced
        from bentos.worker import Worker
        from monitoring.metrics import process_metrics

        settings = Settings.load()
        home = Home.at(settings.database.home)
        worker = Worker(
            state_file=home.serving_state,
            spool=home.spool,
            serving=settings.serving,
            batching=settings.batching,
            monitoring=settings.monitoring,
            metrics=process_metrics(_metrics_folder(home)),
            runners=settings.runners,
        )
        closed = _is_exposed() and not settings.serving.insecure
        door = FrontDoor(app, worker, Companion(), closed=closed)
        door.accompany(GrpcServer(door, worker, host=_listening_host(settings.serving.host), closed=closed))
        if settings.serving.spans:
            return traced(door)  # spans are made around ASGI applications: nothing may go past it
        HotProtocol.install(door)
        return door


class CompanionService(Service):  # type: ignore[misc]  # BentoML's class carries no types here
    """The BentoML service of the Companion; BentoML supervises it, its routes are all ours."""

    def to_asgi(self, is_main: bool = True) -> App:
        """Return the Companion's application."""
        keep_files_private()
        end_with_parent()
        app = cast("App", super().to_asgi(is_main=is_main))
        from bentos.companion import Companion
        from bentos.configuration import Settings
        from bentos.control_api import control_api
        from monitoring.metrics import process_metrics, prune_metrics

        settings = Settings.load()
        home = Home.at(settings.database.home)
        folder = _metrics_folder(home)
        prune_metrics(home.run, folder)
        companion = Companion(settings, process_metrics(folder))
        api = control_api(companion, folder)

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                await api(scope, receive, send)
                return

            async def send_started(message: Any) -> None:
                if message["type"] == "lifespan.startup.complete":
                    companion.start()
                await send(message)
                if message["type"] == "lifespan.shutdown.complete":
                    companion.stop()

            await app(scope, receive, send_started)

        return serve


def _metrics_folder(home: Home) -> Path:
    """Return the metrics folder of this deployment: all its processes have one parent, the supervisor."""
    return home.run / f"metrics-{os.getppid()}"


def _told_host() -> str | None:
    """Return where HTTP listens, as BentoML tells its workers; "localhost" is what it calls 0.0.0.0 and ::."""
    address = json.loads(os.environ.get("BENTOML_RUNNER_MAP", "{}")).get(FRONT_SERVICE)
    return urlsplit(address).hostname if address else None


def _listening_host(setting: str) -> str:
    """Return the address that HTTP listens on, which is the one for gRPC too."""
    host = _told_host()
    if host is None:
        return setting
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        wanted = os.environ.get("BENTOML_HOST", setting)
        return "::" if ":" in wanted else "0.0.0.0"  # noqa: S104 - HTTP listens there already


def _is_exposed() -> bool:
    """Return whether the server listens beyond loopback."""
    host = _told_host()
    if host is None:  # not started by `bentoml serve`: nobody says where it listens
        return True
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
