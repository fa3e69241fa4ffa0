"""Models saved with older releases of scikit-learn serve what they predicted where they were made."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.signature import Column, ColumnType, Signature, Task
from runners.environments import EnvironmentSpecification, lean_requirements, make_environment
from runners.process import RunnerProcess
from runners.runtime import RunnerRuntime
from runners.specification import RunnerSpecification

pytestmark = pytest.mark.long

RELEASES = {
    "1.2.2": ("numpy<2",),
    "1.3.2": ("numpy<2",),
    "1.4.2": ("numpy<2",),
    "1.5.2": (),
    "1.6.1": (),
    "1.7.2": (),
}
# The oldest release with a wheel for the interpreter that the environments are made with.
OLDEST = {11: "1.2.2", 12: "1.3.2", 13: "1.5.2"}[sys.version_info.minor]
ESTIMATORS = ("forest", "boosting", "histogram", "linear")

# Run by each release in its own environment: fits, saves as MLflow's scikit-learn flavour does, predicts.
PROGRAM = """
import json, pathlib, sys
import cloudpickle, numpy as np, pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

MLMODEL = '''flavors:
  python_function:
    loader_module: mlflow.sklearn
    model_path: model.pkl
  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
'''
random = np.random.default_rng(0)
frame = pd.DataFrame({
    "age": random.integers(18, 90, 400).astype(float),
    "income": random.lognormal(8, 1, 400),
    "city": random.choice(np.array(["Bonn", "Ulm", "Trier", np.nan], dtype=object), 400),
    "job": random.choice(np.array(["a", "b", "c"], dtype=object), 400),
})
target = np.where(frame["age"] + 10 * (frame["job"] == "a") + random.normal(0, 10, 400) > 55, "yes", "no")
texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
columns = ColumnTransformer([("numbers", StandardScaler(), ["age", "income"]), ("texts", texts, ["city", "job"])])
estimators = {
    "forest": RandomForestClassifier(20, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=20, random_state=0),
    "histogram": HistGradientBoostingClassifier(max_iter=20),
    "linear": make_pipeline(columns, LogisticRegression()),
}
expected = {}
for name, estimator in estimators.items():
    rows = frame if name == "linear" else frame[["age", "income"]]
    model = estimator.fit(rows, target)
    folder = pathlib.Path(sys.argv[1]) / name
    folder.mkdir()
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(model))
    (folder / "MLmodel").write_text(MLMODEL)
    expected[name] = model.predict_proba(rows).tolist()
rows = {name: [None if value != value else value for value in frame[name].tolist()] for name in frame}
print(json.dumps({"rows": rows, "expected": expected}))
"""


@dataclass(frozen=True)
class Release:
    """An environment with one release, the models it saved, its rows and what it predicted."""

    version: str
    python: Path
    folder: Path
    rows: dict[str, list[Any]]
    expected: dict[str, Any]


@pytest.fixture(scope="module", params=[release for release in RELEASES if release >= OLDEST])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    saved_with = ["mlflow==2.9.2", "cloudpickle", f"scikit-learn=={request.param}", *RELEASES[request.param]]
    wanted = EnvironmentSpecification(
        python=platform.python_version(), requirements=lean_requirements(saved_with, "sklearn")
    )
    folder = tmp_path_factory.mktemp("release")
    made = make_environment(wanted, folder / "environments")
    command = [str(made.python), "-I", "-c", PROGRAM, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout)
    return Release(request.param, made.python, folder, told["rows"], told["expected"])


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("has_schema", [True, False])
def test_it_predicts_as_it_did_at_home(release: Release, estimator: str, has_schema: bool) -> None:
    names = list(release.rows) if estimator == "linear" else ["age", "income"]
    kinds = {"age": "double", "income": "double", "city": "string", "job": "string"}
    specification = RunnerSpecification(
        python=release.python,
        model=release.folder / estimator,
        flavour="sklearn",
        inputs=tuple({"type": kinds[name], "name": name} for name in names) if has_schema else None,
    )
    signature = Signature(
        columns=tuple(Column(name=name, type=ColumnType.ANY, nullable=True) for name in names),
        task=Task.BINARY,
        classes=("no", "yes"),
    )
    columns = {name: np.array(release.rows[name], dtype=object) for name in names}
    with closing(RunnerRuntime(RunnerProcess(specification), signature)) as runtime:
        described = runtime.process.describe()
        assert described["libraries"]["scikit-learn"] == release.version
        assert (described["task"], described["classes"]) == ("binary", ["no", "yes"])
        assert described["feature_names"] == names
        scores = runtime.run(columns, len(columns["age"]))
    np.testing.assert_array_equal(scores.probabilities, release.expected[estimator])
