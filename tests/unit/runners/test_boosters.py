"""A booster's model, in its own format or inside a Python object, compiled and proven against its runner."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from uv import find_uv_bin

from inference.errors import CompileError
from inference.frames import columns_from_frame
from inference.loading import SIGNATURE_FILE, load_model
from inference.signature import ColumnType, Signature
from runners.boosters import compile_booster, verify_booster
from runners.mlmodel import read_mlmodel
from runners.preparation import FAIRMIND_FOLDER, Preparer
from runners.rows import Rows
from tests.debian import install_libgomp

pytestmark = pytest.mark.long

SHARED = ["scikit-learn==1.7.2", "numpy==2.3.5", "pandas==2.3.3", "cloudpickle"]
BEFORE = """
import json, sys
import cloudpickle, numpy as np, pandas as pd
folder, kind = sys.argv[1:]
random = np.random.default_rng(0)
frame = pd.DataFrame(random.normal(size=(500, 3)), columns=["a", "b", "c"])
frame[random.random(frame.shape) < 0.1] = np.nan
score = frame.fillna(0).to_numpy() @ [1.0, -2.0, 0.5]
label = (score > 0).astype(int) if kind != "multi" else np.digitize(score, [-1, 1])
"""
AFTER = """
rows = frame.astype(object).where(frame.notna(), None).to_dict("list")
json.dump(rows, open(f"{folder}/rows.json", "w"))
json.dump(answers.tolist(), open(f"{folder}/answers.json", "w"))
"""
XGBOOST = """
import xgboost
if kind == "booster":
    rows = xgboost.DMatrix(frame, label)
    model = xgboost.train({"objective": "binary:logistic", "max_depth": 3}, rows, 20)
    answers = model.predict(rows)
else:
    stop = {"early_stopping_rounds": 3} if kind == "stopped" else {}
    model = xgboost.XGBClassifier(n_estimators=40, max_depth=3, **stop)
    held = {"eval_set": [(frame, 1 - label)], "verbose": False} if stop else {}
    model.fit(frame, label, **held)
    answers = model.predict_proba(frame)
model.save_model(f"{folder}/model.ubj")
"""
LIGHTGBM = """
import lightgbm
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
"""


@dataclass(frozen=True)
class Library:
    """How a library's models are trained and, as MLflow does, described."""

    flavour: str
    requirement: str
    program: str
    booster: dict[str, Any]
    classifier: dict[str, Any]


LIBRARIES = {
    "xgboost": Library(
        "xgboost",
        "xgboost-cpu==3.1.3",
        XGBOOST,
        {"data": "model.ubj", "model_class": "xgboost.core.Booster", "model_format": "ubj"},
        {"data": "model.ubj", "model_class": "xgboost.sklearn.XGBClassifier", "model_format": "ubj"},
    ),
    "lightgbm": Library(
        "lightgbm",
        "lightgbm==4.6.0",
        LIGHTGBM,
        {"data": "model.lgb", "model_class": "lightgbm.basic.Booster"},
        {"data": "model.pkl", "model_class": "lightgbm.sklearn.LGBMClassifier"},
    ),
}


def saved(folder: Path, library: Library, kind: str) -> Path:
    """Train in an environment with the library, and describe the file as MLflow does."""
    if library.flavour == "lightgbm":
        install_libgomp()
    folder.mkdir()
    requirements = [library.requirement, *SHARED]
    packages = [part for one in requirements for part in ("--with", one)]
    program = BEFORE + library.program + AFTER
    command = [find_uv_bin(), "run", "--no-project", "--python", "3.11", *packages, "python", "-c", program]
    done = subprocess.run([*command, str(folder), kind], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    described = library.booster if kind == "booster" else library.classifier
    names = [{"type": "double", "name": name, "required": True} for name in "abc"]
    head = {
        "flavors": {
            "python_function": {"loader_module": f"mlflow.{library.flavour}", "data": described["data"]},
            library.flavour: described,
        },
        "signature": {"inputs": json.dumps(names)},
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(head))
    (folder / "requirements.txt").write_text("\n".join(["mlflow==3.1", *requirements]))
    (folder / "python_env.yaml").write_text("python: 3.11.7\n")
    return folder


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", ["classifier", "stopped", "multi", "booster"])
def test_a_booster_is_compiled_and_answers_as_its_library(tmp_path: Path, library: str, kind: str) -> None:
    folder = saved(tmp_path / "theirs", LIBRARIES[library], kind)
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
    again = verify_booster(tmp_path / "made", prepared, rows)
    assert again.largest_difference < 1e-6


def test_a_booster_that_takes_text_is_not_compiled(tmp_path: Path) -> None:
    folder = saved(tmp_path / "theirs", LIBRARIES["xgboost"], "classifier")
    prepared = Preparer(tmp_path / "environments", "theirs", is_trusted=True).prepare(folder, tmp_path / "prepared")
    path = prepared / FAIRMIND_FOLDER / SIGNATURE_FILE
    signature = Signature.model_validate_json(path.read_bytes())
    text = signature.columns[0].model_copy(update={"type": ColumnType.STRING})
    path.write_text(signature.model_copy(update={"columns": (text, *signature.columns[1:])}).model_dump_json())
    with pytest.raises(CompileError, match="column 'a': it is no number"):
        compile_booster(read_mlmodel(folder), prepared, Rows({}, 0, "none"), tmp_path)
