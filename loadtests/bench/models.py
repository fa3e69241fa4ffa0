"""The models that are measured: trained once by `fairmind train` into a home of the benchmark's own.

No version of that home has an alias: each scenario says, in its copy, what is served (`registry-scripts/`).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from loadtests.rows import PROTECTED
from loadtests.servers import QUIET
from sources.named import CensusPart, census_employment

BUILD: Final = Path("build/bench")
HOME: Final = BUILD / "home"
MANY_COLUMNS: Final = (10, 50, 100, 500)
_TABLES: Final = BUILD / "tables"
_DONE: Final = "trained.json"
_DECIDING: Final = ("compilation", "inference", "training")
"""The packages whose code decides what is stored with a version: when one changes, models are trained again."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BenchModel:
    """A registered model of the benchmark: version "1" of each is what is measured.

    `estimators` become versions in their order; `table` is where requests take rows from, None for the census.
    """

    name: str
    title: str
    estimators: Mapping[str, Mapping[str, Any]]
    table: str | None = None
    protected: tuple[str, ...] = ()


STRINGS: Final = BenchModel(
    "strings",
    "string-column pipeline (logistic regression, US Census, 14 columns)",
    {
        "logistic": {"kind": "logistic_regression", "params": {"max_iter": 1000}},
        "logistic-again": {"kind": "logistic_regression", "params": {"max_iter": 1000, "C": 0.5}},
    },
    protected=PROTECTED,
)
BOOSTING: Final = BenchModel(
    "boosting",
    "numeric boosting (histogram gradient boosting, 10 columns)",
    {"boosted": {"kind": "gradient_boosting", "params": {"max_iter": 100}}},
    table="tumours",
)
LINEAR: Final = BenchModel(
    "linear",
    "numeric linear (logistic regression, 10 columns)",
    {"logistic": {"kind": "logistic_regression", "params": {"max_iter": 1000}}},
    table="tumours",
)
FOREST: Final = BenchModel(
    "forest",
    "large forest (400 trees of up to 256 leaves, 10 columns)",
    {"forest": {"kind": "random_forest", "params": {"n_estimators": 400, "max_leaf_nodes": 256}}},
    table="columns-10",
)
CLASSES: Final = (STRINGS, BOOSTING, LINEAR)


def wide(columns: int) -> BenchModel:
    """Return the linear model with so many numeric columns."""
    return BenchModel(
        f"columns-{columns}",
        f"logistic regression, {columns} columns",
        {"logistic": {"kind": "logistic_regression", "params": {"max_iter": 200}}},
        table=f"columns-{columns}",
    )


def ensure_bench_home(data_folder: Path, say: Say) -> Path:
    """Train what is missing and return the home; `data_folder` is where named data sets are kept or fetched to.

    Raises:
        CalledProcessError: A training failed; its last words are in the error.
    """
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = HOME / _DONE
    wanted = _fingerprint()
    known = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    for model in (*CLASSES, FOREST, *map(wide, MANY_COLUMNS)):
        facts = f"{wanted}:{model!r}"
        if known.get(model.name, {}).get("of") == facts:
            continue
        say(f"training {model.title}")
        versions = _train(model, data_folder)
        known[model.name] = {"of": facts, "versions": versions}
        record.write_text(json.dumps(known, indent=2), encoding="utf-8")
    return HOME


def trained_versions(home: Path, model: BenchModel) -> list[str]:
    """Return the newest versions of a model, in the order of its estimators."""
    known = json.loads((home / _DONE).read_text(encoding="utf-8"))
    versions: list[str] = known[model.name]["versions"]
    return versions


def table_of(model: BenchModel, data_folder: Path) -> pd.DataFrame:
    """Return the rows that requests are made of."""
    if model.table is None:
        return census_employment(CensusPart.LATER_YEARS).read(data_folder)
    return pd.read_csv(_table_file(model.table))


def _train(model: BenchModel, data_folder: Path) -> list[str]:
    config = BUILD / f"{model.name}.json"  # JSON is YAML
    config.write_text(json.dumps(configuration(model), indent=2), encoding="utf-8")
    environment = {**os.environ, **QUIET, "FAIRMIND_HOME": str(HOME)}
    (HOME / "data").unlink(missing_ok=True)
    (HOME / "data").symlink_to(data_folder.absolute())
    command = [str(Path(sys.executable).parent / "fairmind"), "train", str(config), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    return [str(version["version"]) for version in json.loads(done.stdout)["versions"]]


def configuration(model: BenchModel) -> dict[str, Any]:
    """Return what `fairmind train` is told; the table of a model that has one is written when it is absent."""
    common = {"name": model.name, "estimators": model.estimators, "unknown_categories": "ignore"}
    if model.table is not None:
        source = {"kind": "file", "path": str(_table_file(model.table).absolute())}
        return {**common, "source": source, "label": "label", "favourable": 1}
    return {
        **common,
        "source": {"kind": "wheel", **census_employment(CensusPart.REFERENCE).model_dump(exclude={"kind"})},
        "label": "employed",
        "favourable": 1,
        "protected": list(PROTECTED),
        "exclude": ["id", "year", "prediction", "predicted_probability"],
    }


def _table_file(name: str) -> Path:
    path = _TABLES / f"{name}.csv"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        frame = _tumours() if name == "tumours" else _synthetic(int(name.rpartition("-")[2]))
        frame.to_csv(path, index=False)
    return path


def _tumours() -> pd.DataFrame:
    """Return the breast cancer data that scikit-learn carries: 569 people, ten mean measurements."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer(as_frame=True)
    frame: pd.DataFrame = bunch.data.iloc[:, :10].rename(columns=lambda name: name.replace(" ", "_"))
    return frame.assign(label=bunch.target)


def _synthetic(columns: int) -> pd.DataFrame:
    from sklearn.datasets import make_classification

    values, labels = make_classification(
        4_000, columns, n_informative=min(columns, 10), n_redundant=0, flip_y=0.2, random_state=0
    )
    frame = pd.DataFrame(values.round(6), columns=[f"c{index:03d}" for index in range(columns)])
    return frame.assign(label=labels)


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for package in _DECIDING:
        for path in sorted(Path(package).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
