"""`fairmind demo`: the main job, end to end, on real data."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import console

if TYPE_CHECKING:
    from cli.context import Context
    from cli.demo_traffic import Answered
    from training.config import TrainingConfig
    from training.trained_version import TrainedVersion

_CONFIG = Path(__file__).resolve().parent.parent / "training" / "configs" / "employment.yaml"
_WEIGHT = 0.2
_PEOPLE = 4_000
_WORKERS = 2
_MLFLOW_PORT = 5000
_READY_SECONDS = 180.0
_TLS = "FAIRMIND_BENTOS_TLS_"


def register(root: typer.Typer) -> None:
    """Add the command to the root command."""
    root.command()(demo)


def demo(
    leave: Annotated[bool, typer.Option("--exit", help="Stop when done instead of serving on.")] = False,
    port: Annotated[int | None, typer.Option(help="HTTP port; 3000, or a free one if that is taken.")] = None,
    grpc_port: Annotated[
        int | None, typer.Option("--grpc-port", help="gRPC port; 3001, or a free one if that is taken.")
    ] = None,
) -> None:
    """Train, gate, promote, serve, split and test for bias on US Census data, then serve on until Ctrl-C."""
    from cli.children import answers, free_port, running, wait_until
    from cli.context import open_context
    from cli.demo_report import print_result, print_urls, print_versions
    from cli.demo_service import bias_tests, split
    from cli.demo_traffic import post_outcomes
    from cli.serve import serve_command
    from training.config import TrainingConfig

    began = time.monotonic()
    context = open_context()
    config = TrainingConfig.from_yaml(_CONFIG)
    logs = context.home.root / "logs"
    http_port = port or free_port(context.settings.serving.port)
    mlflow_port = free_port(_MLFLOW_PORT)
    url, mlflow_url = f"http://127.0.0.1:{http_port}", f"http://127.0.0.1:{mlflow_port}"
    with ExitStack() as stack:
        with _step("train two versions on the people of 2015"):
            versions = _train(context, config)
        print_versions(versions)
        with _step("promote: the first version serves, the second challenges it"):
            _promote(context, versions)
        with _step(f"serve with BentoML, {_WORKERS} workers, and open MLflow"):
            grpc_port = grpc_port or free_port(context.settings.serving.grpc_port)
            command, environment = serve_command(port=http_port, grpc_port=grpc_port, workers=_WORKERS)
            # What follows asks over loopback, in the clear.
            environment = {name: value for name, value in environment.items() if not name.startswith(_TLS)}
            server = stack.enter_context(running("the server", command, environment, logs / "server.log"))
            command, environment = _mlflow_command(context, mlflow_port)
            mlflow = stack.enter_context(running("MLflow", command, environment, logs / "mlflow.log"))
            for name, process, address in (
                ("server", server, f"{url}/readyz"),
                ("mlflow", mlflow, f"{mlflow_url}/health"),
            ):
                wait_until(name, process, logs / f"{name}.log", partial(answers, address), _READY_SECONDS)
        with _step(f"split: {_WEIGHT:.0%} of the people go to the challenger"):
            rollout_id = split(url, config.name, _WEIGHT, workers=_WORKERS)
        since = datetime.now(UTC)
        with _step(f"send {_PEOPLE:,} people of 2016 to 2018, one request each"):
            answered, seconds = _send(context, config, url)
        with _step("post what became of them, and test both variants for bias through the endpoint"):
            post_outcomes(url, answered)
            tests = bias_tests(url, config, since)
        print_result(answered, seconds, _WEIGHT, tests)
        print_urls(url, mlflow_url, rollout_id)
        console.print(f"done in {time.monotonic() - began:.0f} s")
        if leave:
            return
        console.print("serving on; Ctrl-C stops everything")
        try:
            server.wait()
        except KeyboardInterrupt:
            console.print("stopping")


@contextmanager
def _step(what: str) -> Iterator[None]:
    began = time.monotonic()
    console.print(f"[bold]…[/bold] {what}")
    yield
    console.print(f"[green]✓[/green] {what} [dim]({time.monotonic() - began:.1f} s)[/dim]")


def _train(context: Context, config: TrainingConfig) -> list[TrainedVersion]:
    from training.train import train

    def tell(what: str, fraction: float) -> None:
        console.print(f"  [dim]{fraction:4.0%}[/dim] {what}")

    return train(config, store=context.tracking, data_folder=context.home.data, progress=tell)


def _promote(context: Context, versions: list[TrainedVersion]) -> None:
    from bentos.promotions import promote_version
    from rollout.rollouts import abort, active_rollout

    now = datetime.now(UTC)
    left_over = active_rollout(context.control, versions[0].name)
    if left_over is not None:
        abort(context.control, left_over.id, reason="a new demo began", actor=context.actor, now=now)
    for version, alias in zip(versions, ("champion", "challenger"), strict=True):
        promote_version(
            context.control,
            context.registry,
            version.reference,
            alias=alias,
            override=None,
            actor=context.actor,
            now=now,
        )


def _send(context: Context, config: TrainingConfig, url: str) -> tuple[list[Answered], float]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from cli.demo_service import model_columns
    from cli.demo_traffic import later_years, send

    people = later_years(context.home.data, config, model_columns(url, config.name), _PEOPLE)
    bars = (TextColumn("  people"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*bars, console=console, transient=True) as bar:
        task = bar.add_task("people", total=len(people))
        began = time.perf_counter()
        answered = send(url, config.name, people, lambda count: bar.advance(task, count))
    return answered, time.perf_counter() - began


def _mlflow_command(context: Context, port: int) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", context.tracking_uri]
    command += ["--artifacts-destination", str(context.home.artifacts)]
    # Its job runner starts six more processes, for jobs that nothing here submits.
    return command, os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
