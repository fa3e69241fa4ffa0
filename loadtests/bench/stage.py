"""What scenarios play on: homes that serve what a scenario asks for, people to ask about, and how much effort."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from loadtests.bench.bodies import TENSORS, predict_bodies
from loadtests.bench.client import JSON_TYPE
from loadtests.bench.contenders import REPORTS, Contender, require_same_answers
from loadtests.bench.installed_peers import export_pipeline
from loadtests.bench.models import BenchModel, Say, table_of, trained_versions
from loadtests.errors import HomeMissingError, ServerFailedError
from loadtests.homes import copy_home, create_key
from loadtests.rows import Inputs, Person, people_of, served_inputs, unit_names
from loadtests.servers import Server, fairmind

PEOPLE: Final = 1_024
OURS: Final = "**FairMind Serving**, `POST /predict`"
OURS_TENSORS: Final = "**FairMind Serving**, `POST /v2/…/infer`"
_SERVE: Final = Path(__file__).parent / "registry-scripts" / "serve_versions.py"
_PATIENCE_SECONDS: Final = 180.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How long is measured: repeats of `seconds`, and `long_seconds` for what must show itself over time."""

    repeats: int = 3
    seconds: float = 2.0
    long_seconds: float = 30.0
    connections: int = 32

    def describe(self) -> str:
        """Return it in words."""
        return f"{self.connections} connections, {self.repeats} rounds of {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class Served:
    """The service on a copy of the benchmark's home, with what it serves."""

    server: Server
    home: Path
    models: Sequence[BenchModel]
    versions: Mapping[str, str]
    data_folder: Path
    key: str

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of a JSON request."""
        return {**JSON_TYPE, "Authorization": f"Bearer {self.key}"}

    def inputs(self, model: BenchModel) -> Inputs:
        """Return the columns that the server says a model takes."""
        return served_inputs(self.server.url, model.name)

    def persons(self, model: BenchModel, count: int = PEOPLE, seed: int = 0) -> list[Person]:
        """Return people to ask about; fewer rows than `count` are repeated."""
        table = table_of(model, self.data_folder)
        drawn = people_of(table, self.inputs(model), count, seed=seed, protected=model.protected)
        return (drawn * (count // len(drawn) + 1))[:count]

    def folder(self, model: BenchModel) -> Path:
        """Return the served version's stored files."""
        version = self.versions[model.name]
        found = sorted((self.home / "models" / model.name).glob(f"{version}-*"))
        if not found:
            raise HomeMissingError(self.home, f"copy of {model.name}/{version}")
        return found[-1]

    def predict(self, model: BenchModel, rows: int = 1, persons: Sequence[Person] | None = None) -> Contender:
        """Return the service asked by POST /predict."""
        asked = self.persons(model) if persons is None else persons
        bodies = predict_bodies(model.name, asked, unit_names(len(asked)), rows)
        return Contender(OURS, self.server, "/predict", bodies, headers=self.headers)

    def infer(self, model: BenchModel, rows: int = 1) -> Contender:
        """Return the service asked by the Open Inference Protocol."""
        persons = self.persons(model)
        bodies = TENSORS.bodies(self.inputs(model), persons, unit_names(len(persons)), rows)
        path = f"/v2/models/{model.name}/infer"
        return Contender(OURS_TENSORS, self.server, path, bodies, TENSORS.read, self.headers)


@dataclass(slots=True)
class Stage:
    """What every scenario is handed. `compared` counts the rows that servers answered equally."""

    home: Path
    data_folder: Path
    scratch: Path
    effort: Effort
    say: Say
    with_peers: bool = True
    compared: int = 0
    _count: int = field(default=0)

    @contextlib.contextmanager
    def serving(
        self,
        models: Sequence[BenchModel],
        *,
        copies: int = 0,
        settings: Mapping[str, str] | None = None,
        scopes: str = "predict,read",
    ) -> Iterator[Served]:
        """Serve the first version of each model, and `copies` of the first under other names, from a fresh copy.

        Requests carry a key with these `scopes`.

        Raises:
            ServerFailedError: Not all of them are served in time.
        """
        self._count += 1
        home = copy_home(self.home, self.scratch / f"home-{self._count}")
        versions = {model.name: trained_versions(self.home, model)[0] for model in models}
        references = [f"{name}/{version}" for name, version in versions.items()]
        command = [sys.executable, str(_SERVE), str(home), *references, "--copies", str(copies)]
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own command
        key = create_key(home, scopes)
        self.say(f"starting the service with {', '.join(references)}" + (f" and {copies} copies" if copies else ""))
        log = REPORTS / "bench-fairmind.log"
        with fairmind(home, workers=1, log=log, settings=settings) as server:
            _wait_until_served(server, len(models) + copies, log)
            yield Served(server, home, models, versions, self.data_folder, key)

    def require_same(self, reference: Contender, others: Sequence[Contender], bodies: int = 64) -> None:
        """Compare answers, and count them; see `require_same_answers`."""
        self.compared += require_same_answers(reference, others, bodies)

    def pipeline(self, served: Served, model: BenchModel) -> Path:
        """Return the registered pipeline as joblib, for peers."""
        return export_pipeline(served.folder(model), self.scratch / "pipelines" / f"{model.name}.joblib")


def _wait_until_served(server: Server, count: int, log: Path) -> None:
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < give_up:
        answer: Any = httpx.get(f"{server.url}/readyz", timeout=30.0, trust_env=False).json()
        if len(answer["models"]) >= count:
            return
        time.sleep(0.5)
    raise ServerFailedError(server.name, f"did not serve {count} models within {_PATIENCE_SECONDS:.0f} s", log)
