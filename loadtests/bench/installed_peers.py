"""Peers that live in environments of their own: how each is started, asked and read."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests.bench.bodies import MLFLOW, MLSERVER, Bodies, Protocol, Reader, predict_bodies, read_predictions
from loadtests.bench.contenders import ONE_THREAD, REPORTS, Contender
from loadtests.bench.environments import PEERS, ensure_environment
from loadtests.bench.models import Say
from loadtests.rows import Inputs, Person
from loadtests.servers import free_port, running

_MODEL: Final = "bench"


@dataclass(frozen=True, slots=True)
class Ground:
    """What a peer's server is started on: its programs, a port, the stored version and the same one as joblib."""

    programs: Path
    port: int
    version_folder: Path
    pipeline: Path
    scratch: Path


@dataclass(frozen=True, slots=True)
class InstalledPeer:
    """One peer; `protocol` is None where it takes the body of POST /predict."""

    name: str
    title: str
    environment: str
    command: Callable[[Ground], Sequence[str]]
    ready_path: str
    path: str
    protocol: Protocol | None = None

    def bodies(self, inputs: Inputs, persons: Sequence[Person], units: Sequence[str], rows: int) -> Bodies:
        """Return what it is sent for these people."""
        if self.protocol is not None:
            return self.protocol.bodies(inputs, persons, units, rows)
        return predict_bodies(inputs.model, persons, units, rows)

    @property
    def read(self) -> Reader:
        """How its answers are read."""
        return read_predictions if self.protocol is None else self.protocol.read


def _mlflow(ground: Ground) -> list[str]:
    command = [str(ground.programs / "mlflow"), "models", "serve", "--model-uri", str(ground.version_folder)]
    return [*command, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(ground.port), "--workers", "1"]


def _mlserver(ground: Ground) -> list[str]:
    folder = ground.scratch / "mlserver"
    folder.mkdir(exist_ok=True)
    settings = {"host": "127.0.0.1", "http_port": ground.port, "parallel_workers": 1, "debug": False}
    settings |= {"grpc_port": free_port(), "metrics_port": free_port()}
    model = {"name": _MODEL, "implementation": "mlserver_sklearn.SKLearnModel"}
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    parameters = {"parameters": {"uri": str(ground.pipeline)}}
    (folder / "model-settings.json").write_text(json.dumps(model | parameters), encoding="utf-8")
    return [str(ground.programs / "mlserver"), "start", str(folder)]


def _script(name: str, mode: str) -> Callable[[Ground], list[str]]:
    def command(ground: Ground) -> list[str]:
        script = str(PEERS / name / "server.py")
        return [str(ground.programs / "python"), script, str(ground.port), str(ground.pipeline), mode]

    return command


def _bentoml(name: str) -> Callable[[Ground], list[str]]:
    def command(ground: Ground) -> list[str]:
        folder = str((PEERS / name).absolute())
        return [str(ground.programs / "bentoml"), "serve", "service:Peer", "--working-dir", folder]

    return command


INSTALLED_PEERS: Final = (
    InstalledPeer(
        "mlflow", "`mlflow models serve`", "mlflow-serve", _mlflow, "/ping", "/invocations", protocol=MLFLOW
    ),
    InstalledPeer(
        "mlserver",
        "MLServer, scikit-learn runtime, pandas codec",
        "mlserver",
        _mlserver,
        f"/v2/models/{_MODEL}/ready",
        f"/v2/models/{_MODEL}/infer",
        protocol=MLSERVER,
    ),
    InstalledPeer("litserve", "LitServe", "litserve", _script("litserve", "unbatched"), "/health", "/predict"),
    InstalledPeer(
        "litserve-batched",
        "LitServe, batched",
        "litserve",
        _script("litserve", "batched"),
        "/health",
        "/predict",
    ),
    InstalledPeer("ray", "Ray Serve", "ray-serve", _script("ray-serve", "unbatched"), "/-/healthz", "/predict"),
    InstalledPeer(
        "ray-batched",
        "Ray Serve, `@serve.batch`",
        "ray-serve",
        _script("ray-serve", "batched"),
        "/-/healthz",
        "/predict",
    ),
    InstalledPeer(
        "bentoml", "BentoML, `@bentoml.api`", "bentoml-plain", _bentoml("bentoml-plain"), "/readyz", "/predict"
    ),
    InstalledPeer(
        "bentoml-batched",
        "BentoML, `batchable=True`",
        "bentoml-plain",
        _bentoml("bentoml-plain"),
        "/readyz",
        "/predict_batched",
    ),
)
DISPATCHER: Final = InstalledPeer(
    "bentoml-dispatcher",
    "BentoML's own dispatcher; compiled model",
    "",
    _bentoml("bentoml-dispatcher"),
    "/readyz",
    "/predict",
)
"""In the project's own environment: the compiled model behind `batchable=True`."""


@contextlib.contextmanager
def installed_peer(
    peer: InstalledPeer,
    version_folder: Path,
    pipeline: Path,
    scratch: Path,
    *,
    inputs: Inputs,
    persons: Sequence[Person],
    units: Sequence[str],
    say: Say,
) -> Iterator[Contender]:
    """Start a peer, with its environment made when it is absent, and hand it out with one-row bodies.

    Raises:
        PeerMissingError: Its environment cannot be made.
        ServerFailedError: It does not become ready.
    """
    programs = ensure_environment(peer.environment, say) if peer.environment else Path(sys.executable).parent
    ground = Ground(programs, free_port(), version_folder.absolute(), pipeline.absolute(), scratch)
    say(f"starting {peer.name}")
    with running(
        peer.name,
        peer.command(ground),
        port=ground.port,
        ready_path=peer.ready_path,
        log=REPORTS / f"bench-{peer.name}.log",
        environment=_environment(ground),
        patience=180.0,
    ) as server:
        yield Contender(peer.title, server, peer.path, peer.bodies(inputs, persons, units, 1), peer.read)


def export_pipeline(version_folder: Path, target: Path) -> Path:
    """Write the registered pipeline as joblib, which is what peers load, and return the file."""
    code = (
        "import sys, joblib, skops.io as s; f = sys.argv[1];"
        "joblib.dump(s.load(f, trusted=s.get_untrusted_types(file=f)), sys.argv[2])"
    )
    stored = next(version_folder.glob("*.skops"))
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-c", code, str(stored), str(target)], check=True)  # noqa: S603 - our own command
    return target


def _environment(ground: Ground) -> Mapping[str, str]:
    return {
        **ONE_THREAD,
        "PATH": f"{ground.programs}{os.pathsep}{os.environ.get('PATH', '')}",
        "BENCH_PORT": str(ground.port),
        "BENCH_MODEL": str(ground.pipeline),
        "BENCH_MODEL_FOLDER": str(ground.version_folder),
        # BentoML wipes its metrics folder at every start: no two servers may share a BENTOML_HOME.
        "BENTOML_HOME": str(ground.scratch / f"bentoml-{ground.port}"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
