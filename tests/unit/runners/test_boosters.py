"""A booster's model file, compiled without its library and proven against the answers of its runner."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

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

XGBOOST = "xgboost-cpu==3.1.3"
REQUIREMENTS = [XGBOOST, "scikit-learn==1.7.2", "numpy==2.3.5", "pandas==2.3.3"]
TRAIN = """
import json, sys
import numpy as np, pandas as pd, xgboost
folder, kind = sys.argv[1:]
random = np.random.default_rng(0)
frame = pd.DataFrame(random.normal(size=(500, 3)), columns=["a", "b", "c"])
frame[random.random(frame.shape) < 0.1] = np.nan
score = frame.fillna(0).to_numpy() @ [1.0, -2.0, 0.5]
label = (score > 0).astype(int) if kind != "multi" else np.digitize(score, [-1, 1])
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
    described = "xgboost.core.Booster" if kind == "booster" else "xgboost.sklearn.XGBClassifier"
    names = [{"type": "double", "name": name, "required": True} for name in "abc"]
    head = {
        "flavors": {
            "python_function": {"loader_module": "mlflow.xgboost", "data": "model.ubj"},
            "xgboost": {"data": "model.ubj", "model_class": described, "model_format": "ubj"},
        },
        "signature": {"inputs": json.dumps(names)},
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(head))
    (folder / "requirements.txt").write_text("\n".join(["mlflow==3.1", *REQUIREMENTS]))
    (folder / "python_env.yaml").write_text("python: 3.11.7\n")
    return folder


@pytest.mark.long
@pytest.mark.parametrize("kind", ["classifier", "stopped", "multi", "booster"])
def test_a_model_of_xgboost_is_compiled_and_answers_as_its_library(tmp_path: Path, kind: str) -> None:
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
    again = verify_booster(tmp_path / "made", prepared, rows)
    assert again.largest_difference < 1e-6


@pytest.mark.long
def test_a_booster_that_takes_text_is_not_compiled(tmp_path: Path) -> None:
    folder = saved(tmp_path / "theirs", "classifier")
    prepared = Preparer(tmp_path / "environments", "theirs", is_trusted=True).prepare(folder, tmp_path / "prepared")
    path = prepared / FAIRMIND_FOLDER / SIGNATURE_FILE
    signature = Signature.model_validate_json(path.read_bytes())
    text = signature.columns[0].model_copy(update={"type": ColumnType.STRING})
    path.write_text(signature.model_copy(update={"columns": (text, *signature.columns[1:])}).model_dump_json())
    with pytest.raises(CompileError, match="column 'a': it is no number"):
        compile_booster(read_mlmodel(folder), prepared, Rows({}, 0, "none"), tmp_path)
