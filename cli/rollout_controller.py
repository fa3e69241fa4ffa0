"""`fairmind rollout controller`: decides about rollouts where no service does, until it is stopped."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.output import results

if TYPE_CHECKING:
    from rollout.controller import Controller

_SECONDS: Final = 1.0
_LAST_SECONDS: Final = 5.0
_ACTS: Final = {
    True: "this process decides",
    False: "another process decides; this one waits",
    None: "no rollout is active; this process waits for one",
}

_log = logging.getLogger(__name__)


def register(group: typer.Typer) -> None:
    """Add the command to `fairmind rollout`."""
    group.command()(controller)


def controller(
    once: Annotated[bool, typer.Option("--once", help="Look at every rollout once, and end.")] = False,
) -> None:
    """Decide about rollouts with guardrails, where no service does (FAIRMIND_BENTOS_ROLLOUT_CONTROLLER=false)."""
    from cli.context import open_context
    from rollout.controller import Controller
    from rollout.lease import process_name

    context = open_context()
    deciding = Controller(context.control, context.log, context.registry, holder=process_name())
    if once:
        try:
            deciding.tick(datetime.now(UTC))
            deciding.deliver(datetime.now(UTC))
        finally:
            deciding.stop(datetime.now(UTC))
        return
    stop = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda *_: stop.set())
    keep_deciding(deciding, stop)


def keep_deciding(deciding: Controller, stop: threading.Event) -> None:
    """Decide each second, and do beside that what waits in the registry, which may be slow; until `stop` is set.

    What fails, a database that is away among it, is logged by its type and tried again.
    """
    told: list[bool | None] = []

    def decide() -> None:
        acts = deciding.tick(datetime.now(UTC))
        if told != [acts]:
            results.print(_ACTS[acts])
            told[:] = [acts]

    def deliver() -> None:
        deciding.deliver(datetime.now(UTC))

    delivering = threading.Thread(target=_repeat, args=("the registry", deliver, stop), name="deliver", daemon=True)
    delivering.start()
    try:
        _repeat("rollouts", decide, stop)
    finally:
        stop.set()
        delivering.join(_LAST_SECONDS)
        _try("the end", lambda: deciding.stop(datetime.now(UTC)), None)


def _repeat(name: str, step: Callable[[], object], stop: threading.Event) -> None:
    problem = None
    while not stop.is_set():
        problem = _try(name, step, problem)
        stop.wait(_SECONDS)


def _try(name: str, step: Callable[[], object], before: str | None) -> str | None:
    """Return what failed, None for nothing; it is logged where it is not what failed before."""
    try:
        step()
    except Exception as error:  # a database's own message may quote a row: it is not logged
        problem = type(error).__name__
        if problem != before:
            _log.warning("%s: %s; it is tried again each second", name, problem)
        return problem
    return None
