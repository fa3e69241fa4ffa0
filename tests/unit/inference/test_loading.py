"""What is stored loads to the same model; what is damaged is refused; a worker imports little."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn import ensemble, linear_model

from compilation.candidates import candidates
from compilation.compile import CompiledModel, compile_model
from inference.crossover import CrossoverRuntime
from inference.errors import RuntimeLoadError
from inference.frames import columns_from_frame
from inference.loading import load_model
from inference.onnx_runtime import OnnxRuntime
from inference.trees import TreeRuntime
from tests.fakes.pipelines import fitted, labels, people


@pytest.fixture(scope="module", params=["linear", "softmax", "regression", "trees", "many"])
def compiled(request) -> CompiledModel:
    estimator, classes = {
        "linear": (linear_model.LogisticRegression(max_iter=500), 2),
        "softmax": (linear_model.LogisticRegression(max_iter=500), 3),
        "regression": (linear_model.Ridge(), 5),
        "trees": (ensemble.RandomForestClassifier(5), 2),
        "many": (ensemble.HistGradientBoostingClassifier(max_iter=5), 3),
    }[request.param]
    frame = people()
    return compile_model(fitted(estimator, frame, labels(frame, classes)), frame)


LISTED = ("signature.json", "decision.json", "runtimes.json")


@pytest.fixture
def folder(compiled: CompiledModel, tmp_path: Path) -> Path:
    compiled.save(tmp_path / "version" / "fairmind")
    return tmp_path / "version" / "fairmind"


def test_a_stored_model_answers_exactly_as_before(compiled: CompiledModel, folder: Path) -> None:
    loaded = load_model(folder)
    assert (loaded.signature, loaded.decision) == (compiled.signature, compiled.decision)
    for frame in (people(seed=4), people(rows=1, seed=5)):
        columns, rows = columns_from_frame(frame, loaded.signature)
        before, after = compiled.served().predict(columns, rows), loaded.predict(columns, rows)
        np.testing.assert_array_equal(before.prediction, after.prediction)
        np.testing.assert_array_equal(before.probabilities, after.probabilities)


def test_nothing_stored_is_a_pickle(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "signature.json",
        "decision.json",
        "runtimes.json",
        "runtime-0",
    }
    assert {path.name for path in (folder / "runtime-0").iterdir()} <= {"runtime.json", "arrays.npz", "model.bin"}
    with np.load(folder / "runtime-0" / "arrays.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype == np.float64 for name in arrays.files)


@pytest.mark.parametrize("name", [*LISTED, "runtime-0/runtime.json", "runtime-0/arrays.npz"])
@pytest.mark.parametrize("damage", ["removed", "emptied", "cut", "changed"])
def test_a_damaged_file_is_refused(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes({"emptied": b"", "cut": content[:-3], "changed": b"\x00" + content[1:]}[damage])
    with pytest.raises(RuntimeLoadError, match=str(folder)):
        load_model(folder)


def test_a_damaged_model_never_reaches_the_native_library(folder: Path) -> None:
    path = folder / "runtime-0" / "model.bin"
    if not path.exists():
        path = folder / "runtime-0" / "arrays.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(RuntimeLoadError, match="damaged"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 99}, "format is 99"),
        ({"kind": "oracle"}, "unknown kind"),
        ({"parameters": {}}, "do not fit"),
        ({"parameters": {"blocks": [{"column": "age"}]}}, "do not fit"),
        ({"files": {}}, "damaged"),
        ({"files": {"../../secret": "0"}}, "secret"),
    ],
)
def test_a_head_that_does_not_fit_is_refused_with_the_reason(folder: Path, change, reason: str) -> None:
    path = folder / "runtime-0" / "runtime.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(RuntimeLoadError, match=reason):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 3}, "format is 3"),
        ({"runtimes": []}, "do not follow"),
        ({"runtimes": [{"folder": "runtime-0", "from_rows": 2}]}, "do not follow"),
        ({"runtimes": [{"folder": "runtime-0", "from_rows": 1}] * 2}, "do not follow"),
        ({"runtimes": [{"folder": "runtime-7", "from_rows": 1}]}, r"runtime\.json cannot be read"),
        ({"runtimes": [{"folder": "../../elsewhere", "from_rows": 1}]}, r"runtime\.json cannot be read"),
        ({"runtimes": "all"}, "damaged"),
    ],
)
def test_a_list_of_runtimes_that_does_not_fit_is_refused(folder: Path, change, reason: str) -> None:
    path = folder / "runtimes.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(RuntimeLoadError, match=reason):
        load_model(folder)


def test_the_form_before_there_were_two_runtimes_is_refused_with_the_remedy(folder: Path) -> None:
    (folder / "runtimes.json").unlink()
    for path in (folder / "runtime-0").iterdir():
        path.rename(folder / path.name)
    with pytest.raises(RuntimeLoadError, match="its format is 1, this version reads 2; train it again or upgrade"):
        load_model(folder)


def test_two_runtimes_are_stored_with_the_rows_where_they_cross(tmp_path: Path) -> None:
    frame = people()
    model = fitted(ensemble.RandomForestClassifier(5), frame, labels(frame))
    made = {one.name: one.compiled for one in candidates(model, frame) if one.compiled is not None}
    both = dataclasses.replace(made["onnx-trees"], larger=(made["treelite"].runtime, 32))
    both.save(tmp_path / "fairmind")
    runtime = load_model(tmp_path / "fairmind").runtime
    assert isinstance(runtime, CrossoverRuntime)
    assert runtime.from_rows == (1, 32)
    assert [type(part) for part in runtime.runtimes] == [OnnxRuntime, TreeRuntime]


def test_parts_of_different_models_are_refused(folder: Path, compiled: CompiledModel) -> None:
    path = folder / "signature.json"
    signature = json.loads(path.read_text())
    path.write_text(json.dumps({**signature, "columns": signature["columns"][1:]}))
    with pytest.raises(RuntimeLoadError, match="column 'age' is not in its signature"):
        load_model(folder)
    other = {"task": "multiclass", "classes": ["a", "b", "c", "d"]}
    path.write_text(json.dumps({**signature, **other}))
    with pytest.raises(RuntimeLoadError, match="4 classes"):
        load_model(folder)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeLoadError, match=r"signature\.json"):
        load_model(tmp_path)


PROBE = """
import sys
from pathlib import Path
import numpy as np
from inference.loading import load_model
from inference.columns import columns_from_rows
served = load_model(Path(sys.argv[1]))
row = {"age": 41, "city": "Bonn", "member": True, "income": 1.5, "job": None}
served.predict(columns_from_rows([row], served.signature), 1)
heavy = {"pandas", "sklearn", "scipy", "mlflow", "sqlalchemy", "treelite", "matplotlib", "onnx"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


def test_a_worker_that_loads_and_predicts_imports_nothing_heavy(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROBE, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
