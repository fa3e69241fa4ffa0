"""The two kinds of process behind the services: what each builds when BentoML asks for its application.

Whatever is heavy is imported in the process that needs it: a serving worker never sees MLflow, scikit-learn,
pandas or SQLAlchemy.
"""

from __future__ import annotations

import gc
import ipaddress
import json
import logging
import os
import sys
from functools import partial
from typing import Any, Final, cast
from urllib.parse import urlsplit

from _bentoml_sdk.service.factory import Service

from bentos.orphans import end_with_parent
from bentos.scheduling import give_way, wake_promptly
from bentos.wire import App, Receive, Scope, Send
from database.home import Home, keep_files_private

FRONT_SERVICE: Final = "FairMind"
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_KEPT: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
WORKER_ENVIRONMENT: Final = [
    *({"name": name, "value": "1"} for name in _THREADS),
    *({"name": name, "value": str(64 * 2**20)} for name in _KEPT),
    {"name": "MALLOC_ARENA_MAX", "value": "1"},
    {"name": "GRPC_EXPERIMENTS", "value": "-event_engine_listener"},
]
"""Numeric libraries get one thread per worker: workers are what scales. The allocator keeps up to 64 MiB it
has freed: fetching the pages of a large request's columns anew costs more than decoding them. And it has one heap
for all threads: with one for each, what a swap frees is not where the next version is loaded, and the worker's
memory wanders by several per cent for as long as it is swapped. gRPC's one polling thread takes what arrives, where
its event engine would hand each event to a further one: an eighth of a call."""

_SWITCH_SECONDS: Final = 0.0005
"""How long a busy event loop keeps the interpreter from a thread that has come back from its model: with Python's
own 5 ms, the model of a worker under overload stands idle for a third of the time."""

_YOUNG_OBJECTS: Final = 50_000
"""How many objects more than before make the Companion's collector look: rows on their way to the database are no
garbage, and looking through them again and again took a third of the time of shipping them."""

_COMPANION_NICENESS: Final = 10
"""What it does may come a little later, an answer may not: on full cores its share is a tenth of a worker's, enough
to renew the heartbeat; the log waits in the spool. Not before it has told the workers what to serve: until then
nobody is served, and on a machine that others keep busy its share is a hundredth."""


class FrontDoorService(Service):  # type: ignore[misc]  # BentoML's class carries no types here
    """The BentoML service of a serving worker, with the front door before BentoML's own application."""

    def to_asgi(self, is_main: bool = True) -> App:
        """Return the application of one worker."""
        keep_files_private()
        end_with_parent()
        sys.setswitchinterval(_SWITCH_SECONDS)
        wake_promptly()
        # uvicorn formats a line per request wherever its logger finds a handler, and BentoML gives the root one.
        logging.getLogger("uvicorn.access").propagate = False
        app = cast("App", super().to_asgi(is_main=is_main))
        from access.keyring import Keyring
        from bentos.admission import Admission
        from bentos.configuration import Settings
        from bentos.edge import FrontDoor
        from bentos.forwarding import Companion
        from bentos.grpc_server import GrpcServer
        from bentos.protocol import HotProtocol
        from bentos.telemetry import traced
        from bentos.worker import Worker
        from monitoring.metrics_folders import deployment_folder, process_metrics

        settings = Settings.load()
        home = Home.at(settings.database.home)
        worker = Worker(
            state_file=home.serving_state,
            spool=home.spool,
            serving=settings.serving,
            batching=settings.batching,
            monitoring=settings.monitoring,
            metrics=process_metrics(deployment_folder(home.run)),
            runners=settings.runners,
            shipped=home.shipped,
        )
        keyring = Keyring(home.api_keys, workers=settings.serving.workers)
        admission = Admission(keyring, required=_is_exposed() and not settings.serving.insecure)
        door = FrontDoor(app, worker, Companion(), admission)
        host = _listening_host(settings.serving.host)
        door.accompany(GrpcServer(door, worker, admission, host=host))
        if settings.serving.spans:
            return traced(door)  # spans are made around ASGI applications: nothing may go past it
        HotProtocol.install(door, idle_seconds=settings.serving.keep_alive_seconds)
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
        from monitoring.metrics_folders import deployment_folder, process_metrics, prune_metrics

        settings = Settings.load()
        home = Home.at(settings.database.home)
        folder = deployment_folder(home.run)
        prune_metrics(home.run, folder)
        companion = Companion(settings, process_metrics(folder), partial(give_way, _COMPANION_NICENESS))
        api = control_api(companion, folder)

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                await api(scope, receive, send)
                return

            async def send_started(message: Any) -> None:
                if message["type"] == "lifespan.startup.complete":
                    companion.start()
                    gc.collect()
                    gc.freeze()  # the libraries' hundred megabytes: looking through them took a tenth of its time
                    gc.set_threshold(_YOUNG_OBJECTS)
                await send(message)
                if message["type"] == "lifespan.shutdown.complete":
                    companion.stop()

            await app(scope, receive, send_started)

        return serve


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
