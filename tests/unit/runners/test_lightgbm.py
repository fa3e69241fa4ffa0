"""LightGBM's models, in its own text or inside a Python object, compiled and proven against their runner."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from uv import find_uv_bin

from inference.frames import columns_from_frame
from inference.loading import load_model
from runners.boosters import compile_booster, verify_booster
from runners.mlmodel import read_mlmodel
from runners.preparation import FAIRMIND_FOLDER, Preparer
from runners.rows import Rows

REQUIREMENTS = ["lightgbm==4.6.0", "scikit-learn==1.7.2", "numpy==2.3.5", "pandas==2.3.3", "cloudpickle"]
TRAIN = """
import json, sys
import cloudpickle, lightgbm, numpy as np, pandas as pd
folder, kind = sys.argv[1:]
random = np.random.default_rng(0)
frame = pd.DataFrame(random.normal(size=(500, 3)), columns=["a", "b", "c"])
frame[random.random(frame.shape) < 0.1] = np.nan
score = frame.fillna(0).to_numpy() @ [1.0, -2.0, 0.5]
label = (score > 0).astype(int) if kind != "multi" else np.digitize(score, [-1, 1])
if kind == "booster":
    model = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(frame, label), 20)
    answers = model.predict(frame)
    model.save_model(f"{folder}/model.lgb")
else:
    stop = [lightgbm.early_stopping(2, verbose=False)] if kind == "stopped" else None
    model = lightgbm.LGBMClassifier(n_estimators=30, verbose=-1)
    model.fit(frame, label, eval_set=[(frame[:50], 1 - label[:50])] if stop else None, callbacks=stop)
    answers = model.predict_proba(frame)
    with open(f"{folder}/model.pkl", "wb") as file:
        cloudpickle.dump(model, file)
rows = frame.astype(object).where(frame.notna(), None).to_dict("list")
json.dump(rows, open(f"{folder}/rows.json", "w"))
json.dump(answers.tolist(), open(f"{folder}/answers.json", "w"))
"""


def saved(folder: Path, kind: str) -> Path:
    """Train in an environment with the library, and describe the file as MLflow does."""
    folder.mkdir()
    packages = [part for one in REQUIREMENTS for part in ("--with", one)]
    command = [find_uv_bin(), "run", "--no-project", "--python", "3.11", *packages, "python", "-c", TRAIN]
    done = subprocess.run([*command, str(folder), kind], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    data = "model.lgb" if kind == "booster" else "model.pkl"
    described = "lightgbm.basic.Booster" if kind == "booster" else "lightgbm.sklearn.LGBMClassifier"
    names = [{"type": "double", "name": name, "required": True} for name in "abc"]
    head = {
        "flavors": {
            "python_function": {"loader_module": "mlflow.lightgbm", "data": data},
            "lightgbm": {"data": data, "model_class": described},
        },
        "signature": {"inputs": json.dumps(names)},
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(head))
    (folder / "requirements.txt").write_text("\n".join(["mlflow==3.1", *REQUIREMENTS]))
    (folder / "python_env.yaml").write_text("python: 3.11.7\n")
    return folder


@pytest.mark.long
@pytest.mark.parametrize("kind", ["classifier", "stopped", "multi", "booster"])
def test_a_model_of_lightgbm_is_compiled_and_answers_as_its_library(tmp_path: Path, kind: str) -> None:
    folder = saved(tmp_path / "theirs", kind)
    prepared = Preparer(tmp_path / "environments", "theirs", is_trusted=True).prepare(folder, tmp_path / "prepared")
    lists = json.loads((folder / "rows.json").read_text())
    rows = Rows(lists, len(lists["a"]), "a table")
    (tmp_path / "made").mkdir()
    proof = compile_booster(read_mlmodel(folder), prepared, rows, tmp_path / "made")
    assert proof.rows == 500
    compiled = load_model(tmp_path / "made" / FAIRMIND_FOLDER)
    answer = compiled.predict(*columns_from_frame(rows.frame(compiled.signature), compiled.signature))
    found = answer.prediction if kind == "booster" else answer.probabilities
    np.testing.assert_allclose(found, json.loads((folder / "answers.json").read_text()), atol=1e-6)
    assert verify_booster(tmp_path / "made", prepared, rows).largest_difference < 1e-6
