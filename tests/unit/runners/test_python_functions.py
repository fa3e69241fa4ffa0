"""Models that are Python functions of MLflow's: code and parameters of their own, asked through MLflow itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from inference.signature import Column, ColumnType, Signature, Task
from runners.errors import ModelRefusedRowsError
from runners.process import RunnerProcess
from runners.runtime import RunnerRuntime
from runners.specification import RunnerSpecification

# Somebody's own program: a classifier whose `predict` needs the protected attribute, wrapped for MLflow and saved.
PROGRAM = """
import json, sys
import mlflow.pyfunc, numpy as np, pandas as pd
from fairlearn.postprocessing import ThresholdOptimizer
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

class Fair(mlflow.pyfunc.PythonModel):
    def __init__(self, optimizer):
        self.optimizer = optimizer

    def predict(self, context, model_input, params=None):
        features, sex = model_input.drop(columns="sex"), model_input["sex"]
        answer = self.optimizer.predict(features, sensitive_features=sex, random_state=0)
        return np.where(np.asarray(answer) == 1, (params or {}).get("yes", "yes"), "no")

random = np.random.default_rng(0)
features = pd.DataFrame({"age": random.normal(40, 10, 60), "income": random.lognormal(size=60)})
frame = features.assign(sex=random.choice(["f", "m"], 60))
optimizer = ThresholdOptimizer(estimator=LogisticRegression(), predict_method="predict_proba", prefit=False)
optimizer.fit(features, (frame["age"] > 40).astype(int), sensitive_features=frame["sex"])
signature = infer_signature(frame, np.array(["yes"]), params={"yes": "yes"})
mlflow.pyfunc.save_model(
    sys.argv[1], python_model=Fair(optimizer), signature=signature, pip_requirements=["mlflow"]
)
told = {part: json.loads(text) for part, text in signature.to_dict().items() if text}
print(json.dumps({
    "signature": told,
    "columns": frame.to_dict("list"),
    "expected": mlflow.pyfunc.load_model(sys.argv[1]).predict(frame).tolist(),
}))
"""


@dataclass(frozen=True)
class Saved:
    """The model in its process, rows for it, and what MLflow says of them."""

    runtime: RunnerRuntime
    columns: dict[str, Any]
    rows: int
    expected: list[str]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saved]:
    folder = tmp_path_factory.mktemp("fair") / "model"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder)],
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    specification = {"python": sys.executable, "model": folder, "flavour": "python_function"}
    specification |= {part: told["signature"][part] for part in ("inputs", "params")}
    process = RunnerProcess(RunnerSpecification.model_validate(specification))
    columns = {
        name: np.array(values, dtype=object if name == "sex" else np.float64)
        for name, values in told["columns"].items()
    }
    signature = Signature(columns=tuple(Column(name=one, type=ColumnType.ANY) for one in columns), task=Task.OPAQUE)
    with closing(RunnerRuntime(process, signature)) as runtime:
        yield Saved(runtime, columns, 60, told["expected"])


def test_it_answers_as_mlflow_does(saved: Saved) -> None:
    answer = saved.runtime.run(saved.columns, saved.rows)
    assert answer.probabilities is None
    assert answer.values is not None
    assert answer.values.tolist() == saved.expected
    assert set(saved.expected) == {"yes", "no"}


def test_parameters_of_its_own_reach_it_and_others_do_not(saved: Saved) -> None:
    params = {"yes": "certainly", "unknown": 1}
    answer = saved.runtime.run_within(saved.columns, saved.rows, params=params, seconds=60)
    assert answer.values is not None
    assert set(answer.values) == {"certainly", "no"}


def test_a_parameter_of_another_type_is_refused(saved: Saved) -> None:
    with pytest.raises(ModelRefusedRowsError):
        saved.runtime.run_within(saved.columns, saved.rows, params={"yes": 1}, seconds=60)


def test_nothing_is_claimed_of_a_function(saved: Saved) -> None:
    described = saved.runtime.process.describe()
    assert (described["task"], described["classes"], described["has_proba"]) == ("opaque", [], False)
    assert {"python", "mlflow", "numpy", "scikit-learn"} <= set(described["libraries"])
