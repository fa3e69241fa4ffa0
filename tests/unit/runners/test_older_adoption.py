"""Models of older releases of scikit-learn, adopted where they are at home: their answers are of that release."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from uv import find_uv_bin

from inference.frames import columns_from_frame
from inference.loading import SIGNATURE_FILE, load_model
from inference.signature import Signature
from runners.adoption import Compiler
from runners.mlmodel import read_mlmodel
from runners.preparation import FAIRMIND_FOLDER, Preparer
from runners.rows import rows_of_table
from sources.tables import read_table

RELEASES = {
    "1.2.2": ("numpy==1.26.4", "pandas==2.0.3"),
    "1.5.2": ("numpy==1.26.4", "pandas==2.2.3"),
    "1.7.2": ("numpy==2.2.6", "pandas==2.3.3"),
}
TRAIN = """
import json, sys
import cloudpickle, numpy as np, pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
folder, kind = sys.argv[1:]
random = np.random.default_rng(0)
ages, jobs = random.integers(18, 80, 300).astype(float), random.choice(["a", "b", "c"], 300)
frame = pd.DataFrame({"age": ages, "job": jobs})
label = np.where(frame.age / 40 + (frame.job == "b") + random.normal(0, 1, 300) > 2, "good", "bad")
encoder = OneHotEncoder(handle_unknown="ignore")
columns = ColumnTransformer([("n", StandardScaler(), ["age"]), ("c", encoder, ["job"])])
estimator = LogisticRegression() if kind == "linear" else RandomForestClassifier(10, random_state=0)
model = Pipeline([("columns", columns), ("model", estimator)]).fit(frame, label)
cloudpickle.dump(model, open(folder + "/model.pkl", "wb"))
frame.to_csv(folder + "/rows.csv", index=False)
json.dump(model.predict_proba(frame).tolist(), open(folder + "/answers.json", "w"))
"""
MLMODEL = """flavors:
  python_function:
    loader_module: mlflow.sklearn
    model_path: model.pkl
  sklearn:
    pickled_model: model.pkl
    serialization_format: cloudpickle
signature:
  inputs: '[{"type": "double", "name": "age"}, {"type": "string", "name": "job"}]'
"""


def saved(folder: Path, release: str, kind: str) -> Path:
    folder.mkdir()
    requirements = [f"scikit-learn=={release}", *RELEASES[release], "cloudpickle"]
    packages = [part for one in requirements for part in ("--with", one)]
    command = [find_uv_bin(), "run", "--no-project", "--python", "3.11", *packages, "python", "-c", TRAIN]
    done = subprocess.run([*command, str(folder), kind], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "MLmodel").write_text(MLMODEL)
    (folder / "requirements.txt").write_text("\n".join(["mlflow==2.9.0", *requirements]))
    (folder / "python_env.yaml").write_text("python: 3.11.4\n")
    return folder


@pytest.mark.long
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("kind", ["linear", "forest"])
def test_a_model_of_an_older_release_answers_compiled_as_it_did_at_home(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, release: str, kind: str
) -> None:
    folder = saved(tmp_path / "theirs", release, kind)
    environments = tmp_path_factory.getbasetemp() / "environments"
    preparer = Preparer(environments, "theirs", is_trusted=True)
    prepared = preparer.prepare(folder, tmp_path / "prepared")
    signature = Signature.model_validate_json((prepared / FAIRMIND_FOLDER / SIGNATURE_FILE).read_bytes())
    table = read_table(folder / "rows.csv")
    (tmp_path / "made").mkdir()
    proof = Compiler(preparer).compile(
        read_mlmodel(folder), signature, rows_of_table(table, signature, "rows"), tmp_path / "made", lambda _: None
    )
    assert proof.versions["scikit-learn"] == release
    compiled = load_model(tmp_path / "made" / FAIRMIND_FOLDER)
    answer = compiled.predict(*columns_from_frame(table, compiled.signature))
    np.testing.assert_allclose(answer.probabilities, json.loads((folder / "answers.json").read_text()), atol=1e-6)
