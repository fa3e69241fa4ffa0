"""Foreign models compiled where their own libraries are: here in this very environment, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from inference.errors import CompileError, ParityError, SignatureMismatchError
from inference.frames import columns_from_frame
from inference.loading import load_model
from inference.signature import Signature, Task
from runners.adoption import Compiler, load_data
from runners.errors import MlModelError
from runners.mlmodel import MlModel, read_mlmodel
from runners.rows import Rows, profile, rows_of_example, rows_of_table
from runners.schema import Description, foreign_signature
from tests.fakes.preparers import HerePreparer
from tests.fakes.strangers import Stranger, forest_on_a_matrix, pipeline_with_text, save

COMPILE_CHILD = str(Path(__file__).resolve().parents[3] / "runners" / "compile_child.py")


@pytest.fixture
def compiler(tmp_path: Path) -> Compiler:
    return Compiler(HerePreparer(tmp_path, "here", is_trusted=True))


def signature_of(model: MlModel, stranger: Stranger) -> Signature:
    names = getattr(stranger.model, "feature_names_in_", None)
    described = Description(
        task=Task.BINARY,
        classes=tuple(stranger.model.classes_.tolist()),
        feature_names=None if names is None else tuple(map(str, names)),
        n_features=stranger.model.n_features_in_,
    )
    return foreign_signature(model, described)


def made(compiler: Compiler, stranger: Stranger, folder: Path, table: pd.DataFrame | None = None) -> Signature:
    """Compile the saved model in `folder` into `folder/made` and return what it takes in its runner."""
    model = read_mlmodel(folder)
    signature = signature_of(model, stranger)
    rows = rows_of_example(model, signature) if table is None else rows_of_table(table, signature, "a table")
    assert rows is not None
    (folder / "made").mkdir()
    compiler.compile(model, signature, rows, folder / "made", lambda _: None)
    return signature


def test_a_pickled_pipeline_is_compiled_and_answers_as_at_home(compiler: Compiler, tmp_path: Path) -> None:
    stranger = pipeline_with_text()
    folder = save(stranger, tmp_path / "m")
    made(compiler, stranger, folder, stranger.frame)
    compiled = load_model(folder / "made" / "fairmind")
    columns, rows = columns_from_frame(stranger.frame, compiled.signature)
    answer = compiled.predict(columns, rows)
    np.testing.assert_allclose(answer.probabilities, stranger.model.predict_proba(stranger.frame), atol=1e-6)
    assert answer.prediction.tolist() == stranger.model.predict(stranger.frame).tolist()
    kept = json.loads((folder / "made" / "fairmind" / "profile.json").read_text())
    assert kept["columns"]["age"]["minimum"] == stranger.frame["age"].min()
    assert "smith" not in json.dumps(kept)


def test_a_forest_fitted_on_a_matrix_is_compiled_under_numbered_columns(compiler: Compiler, tmp_path: Path) -> None:
    stranger = forest_on_a_matrix()
    folder = save(stranger, tmp_path / "m")
    made(compiler, stranger, folder, pd.DataFrame(stranger.frame, columns=["age", "amount"]))
    compiled = load_model(folder / "made" / "fairmind")
    assert compiled.signature.matrix
    columns = {str(place): stranger.frame[:, place] for place in range(2)}
    answer = compiled.predict(columns, len(stranger.frame))
    np.testing.assert_allclose(answer.probabilities, stranger.model.predict_proba(stranger.frame), atol=1e-6)


def test_without_a_signature_whole_numbers_in_the_rows_do_not_make_a_column_one_of_integers(
    compiler: Compiler, tmp_path: Path
) -> None:
    stranger = pipeline_with_text()
    folder = save(stranger, tmp_path / "m", signed=False, example=False)
    made(compiler, stranger, folder, stranger.frame.assign(age=stranger.frame["age"].astype(int)))
    compiled = load_model(folder / "made" / "fairmind")
    assert {column.name: str(column.type) for column in compiled.signature.columns}["age"] == "double"


def test_the_input_example_is_enough(compiler: Compiler, tmp_path: Path) -> None:
    stranger = pipeline_with_text()
    folder = save(stranger, tmp_path / "m")
    made(compiler, stranger, folder)
    assert load_model(folder / "made" / "fairmind").signature.classes == ("bad", "good")


def test_a_compiled_form_is_proven_again_and_a_changed_one_is_found_out(compiler: Compiler, tmp_path: Path) -> None:
    stranger, other = pipeline_with_text(0), pipeline_with_text(1)
    folder, others = save(stranger, tmp_path / "m"), save(other, tmp_path / "other")
    signature = made(compiler, stranger, folder, stranger.frame)
    rows = rows_of_table(stranger.frame, signature, "a table")
    proof = compiler.verify(read_mlmodel(folder), folder / "made", signature, rows, lambda _: None)
    assert (proof.rows, proof.largest_difference < 1e-9) == (300, True)
    with pytest.raises(ParityError) as caught:
        compiler.verify(read_mlmodel(others), folder / "made", signature, rows, lambda _: None)
    assert caught.value.largest_difference > 1e-6


def test_code_of_the_models_own_that_is_called_as_the_compiler_is_not_compiled(
    compiler: Compiler, tmp_path: Path
) -> None:
    code = tmp_path / "inference"
    code.mkdir()
    (code / "__init__.py").write_text("")
    stranger = pipeline_with_text()
    folder = save(stranger, tmp_path / "m", code_paths=[str(code)])
    with pytest.raises(CompileError, match="package called 'inference'"):
        made(compiler, stranger, folder)


@pytest.mark.parametrize("change", ["flavour", "float32"])
def test_what_compiled_forms_would_not_equal_is_not_compiled(
    compiler: Compiler, tmp_path: Path, change: str
) -> None:
    stranger = pipeline_with_text()
    folder = save(stranger, tmp_path / "m")
    head = yaml.safe_load((folder / "MLmodel").read_text())
    if change == "flavour":
        head["flavors"]["python_function"]["loader_module"] = "their.own"
    else:
        head["signature"]["inputs"] = head["signature"]["inputs"].replace("double", "float")
    (folder / "MLmodel").write_text(yaml.safe_dump(head))
    with pytest.raises(CompileError, match=r"python_function|32 bits"):
        made(compiler, stranger, folder)


def test_a_model_that_does_not_load_says_so(compiler: Compiler, tmp_path: Path) -> None:
    stranger = pipeline_with_text()
    folder = save(stranger, tmp_path / "m")
    (folder / "model.pkl").write_bytes(b"no pickle")
    with pytest.raises(CompileError, match="cannot compile the model: UnpicklingError"):
        made(compiler, stranger, folder)


def test_what_compiles_ends_where_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"parent": os.getpid() + 1, "result": str(tmp_path / "result.json")}))
    command = [sys.executable, "-I", "-B", COMPILE_CHILD, str(job)]
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 1
    assert not (tmp_path / "result.json").exists()


# ---- the model as it was registered ----


def test_only_data_that_these_libraries_wrote_is_loaded_in_this_process(tmp_path: Path) -> None:
    stranger = pipeline_with_text()
    trusted: dict[str, Any] = {"serialization_format": "skops", "skops_trusted_types": ["numpy.dtype"]}
    data = load_data(read_mlmodel(save(stranger, tmp_path / "data", **trusted)))
    assert data.predict(stranger.frame).tolist() == stranger.model.predict(stranger.frame).tolist()
    assert load_data(read_mlmodel(save(stranger, tmp_path / "pickle"))) is None
    older = save(stranger, tmp_path / "older", **trusted, pip_requirements=["scikit-learn==1.2.2"])
    assert load_data(read_mlmodel(older)) is None


# ---- rows ----


def test_rows_are_taken_by_name_and_what_is_missing_is_told(tmp_path: Path) -> None:
    stranger = pipeline_with_text()
    model = read_mlmodel(save(stranger, tmp_path / "m"))
    signature = signature_of(model, stranger)
    table = stranger.frame.head(2)[["job", "amount", "age"]].assign(extra=1, age=[np.nan, 2.0])
    assert rows_of_table(table, signature, "t").columns["age"] == [None, 2.0]
    with pytest.raises(SignatureMismatchError, match="column 'job': is missing"):
        rows_of_table(table.drop(columns="job"), signature, "t")


@pytest.mark.parametrize("signed", [True, False])
def test_an_input_example_is_read_as_mlflow_wrote_it(tmp_path: Path, signed: bool) -> None:
    for stranger in (pipeline_with_text(), forest_on_a_matrix()):
        model = read_mlmodel(save(stranger, tmp_path / type(stranger.model).__name__, signed=signed))
        signature = signature_of(model, stranger)
        rows = rows_of_example(model, signature)
        assert rows is not None
        frame = pd.DataFrame(stranger.frame[:5])
        frame.columns = list(map(str, frame.columns))
        assert rows.frame(signature).to_numpy().tolist() == frame.to_numpy().tolist()


def test_a_damaged_input_example_is_told(tmp_path: Path) -> None:
    stranger = pipeline_with_text()
    model = read_mlmodel(save(stranger, tmp_path / "m"))
    (model.folder / "input_example.json").write_text('{"data": 1}')
    with pytest.raises(MlModelError, match="input example cannot be read"):
        rows_of_example(model, signature_of(model, stranger))


def test_a_profile_holds_ranges_and_no_text() -> None:
    rows = Rows({"a": [1, None, 3], "b": ["x", "y", "x"]}, 3, "t")
    assert profile(rows)["columns"] == {
        "a": {"missing": pytest.approx(1 / 3), "minimum": 1, "maximum": 3},
        "b": {"missing": 0.0, "distinct": 2},
    }


def test_an_estimator_without_a_pipeline_is_compiled_too(compiler: Compiler, tmp_path: Path) -> None:
    frame = pipeline_with_text().frame[["age", "amount"]]
    stranger = Stranger(LogisticRegression().fit(frame, frame["age"] > 40), frame)
    folder = save(stranger, tmp_path / "m")
    made(compiler, stranger, folder, frame)
    assert load_model(folder / "made" / "fairmind").signature.classes == (False, True)
