"""What an MLflow model folder says of itself, and what of it would be code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from runners.errors import MlModelError
from runners.mlmodel import read_mlmodel

SKLEARN: dict[str, Any] = {
    "flavors": {
        "python_function": {
            "loader_module": "mlflow.sklearn",
            "model_path": "model.pkl",
            "python_version": "3.9.1",
        },
        "sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle", "code": None},
    }
}


def written(folder: Path, head: Any, files: dict[str, str] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text(head if isinstance(head, str) else yaml.safe_dump(head))
    for name, text in ({"model.pkl": ""} if files is None else files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_model_of_scikit_learn_says_how_it_is_loaded_and_what_it_needs(tmp_path: Path) -> None:
    inputs = [{"type": "double", "name": "age", "required": True}]
    head = SKLEARN | {"signature": {"inputs": json.dumps(inputs), "outputs": None, "params": None}}
    files = {
        "model.pkl": "",
        "requirements.txt": "# made by MLflow\nmlflow==2.1\nscikit-learn==1.2.2\n\n",
        "python_env.yaml": "python: 3.8.13\n",
    }
    model = read_mlmodel(written(tmp_path / "m", head, files))
    assert (model.flavour, model.serialization, model.data) == ("sklearn", "cloudpickle", "model.pkl")
    assert (model.python, model.requirements) == ("3.8.13", ("mlflow==2.1", "scikit-learn==1.2.2"))
    assert (model.inputs, model.params) == (tuple(inputs), None)
    assert model.code() == ["a pickle (model.pkl)"]


def test_an_environment_of_conda_is_read_where_there_is_no_other(tmp_path: Path) -> None:
    conda = {
        "dependencies": [
            "python=3.7.4",
            "scikit-learn=0.22.1",
            "pip",
            "numpy=1.18=py37",
            {"pip": ["mlflow", "x==1"]},
        ]
    }
    model = read_mlmodel(written(tmp_path / "m", SKLEARN, {"model.pkl": "", "conda.yaml": yaml.safe_dump(conda)}))
    assert model.python == "3.7.4"
    assert model.requirements == ("scikit-learn==0.22.1", "numpy==1.18", "mlflow", "x==1")


def test_without_any_environment_the_flavour_says_the_library(tmp_path: Path) -> None:
    head = {"flavors": SKLEARN["flavors"] | {"sklearn": {"sklearn_version": "0.20", "pickled_model": "model.pkl"}}}
    model = read_mlmodel(written(tmp_path / "m", head))
    assert (model.requirements, model.serialization, model.python) == (("scikit-learn==0.20",), "pickle", "3.9.1")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"serialization_format": "skops"}, []),
        ({"serialization_format": "skops", "skops_trusted_types": ["sklearn.tree._tree.Tree"]}, []),
        (
            {"serialization_format": "skops", "skops_trusted_types": ["builtins.eval"]},
            ["types that skops does not trust (builtins.eval)"],
        ),
        ({"serialization_format": "skops", "code": "code"}, ["code of its own (code/)"]),
        ({"serialization_format": "pickle"}, ["a pickle (model.pkl)"]),
    ],
)
def test_what_is_code_is_named(tmp_path: Path, changes: dict[str, Any], expected: list[str]) -> None:
    flavours = SKLEARN["flavors"] | {"sklearn": SKLEARN["flavors"]["sklearn"] | changes}
    model = read_mlmodel(written(tmp_path / "m", {"flavors": flavours}, {"model.pkl": "", "code/own.py": ""}))
    assert model.code() == expected
    assert ("own" in model.top_level_names()) == ("code" in changes)


def test_a_foreign_flavour_is_code_with_the_pickle_it_holds(tmp_path: Path) -> None:
    head = {"flavors": {"python_function": {"loader_module": "mlflow.pyfunc.model"}}}
    model = read_mlmodel(written(tmp_path / "m", head, {"python_model.pkl": ""}))
    assert model.flavour == "python_function"
    assert model.code() == ["a pickle (python_model.pkl)", "a model that mlflow.pyfunc.model loads"]


def test_only_pinned_well_known_libraries_are_harmless_to_install(tmp_path: Path) -> None:
    lines = (
        "scikit-learn==1.7.0\nnumpy>=2\nevil==1.0\nskops==0.14.0 ; python_version > '3'\nscipy @ git+https://x\n"
    )
    model = read_mlmodel(written(tmp_path / "m", SKLEARN, {"model.pkl": "", "requirements.txt": lines}))
    assert model.harmless_requirements() == ("scikit-learn==1.7.0", "skops==0.14.0")


@pytest.mark.parametrize("line", ["skops==0.11.0", "skops==0.13.dev1", "skops>=0.7", "skops==0", "numpy==2.0.0"])
def test_a_release_of_skops_that_a_file_can_make_run_code_is_not_asked_for(tmp_path: Path, line: str) -> None:
    model = read_mlmodel(written(tmp_path / "m", SKLEARN, {"model.pkl": "", "requirements.txt": line}))
    assert model.harmless_requirements()[-1] == "skops>=0.13"


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("flavors: [", "cannot be read"),
        ("just text", "not a mapping"),
        ("flavors: !!python/object/apply:os.system ['true']", "cannot be read"),
        ({"flavors": {"spark": {}}}, r"no python_function flavour.*spark"),
        ({"flavors": SKLEARN["flavors"] | {"sklearn": {"pickled_model": "../../secret"}}}, "outside of its own"),
        ({"flavors": SKLEARN["flavors"] | {"sklearn": {"pickled_model": "gone.pkl"}}}, "gone.pkl is missing"),
        ({"flavors": SKLEARN["flavors"] | {"sklearn": {"pickled_model": ".hidden"}}}, "digest .* does not cover"),
        ({"flavors": SKLEARN["flavors"] | {"sklearn": {"pickled_model": "a\0b"}}}, "a path that is none"),
        ({"flavors": SKLEARN["flavors"] | {"sklearn": {"pickled_model": ["model.pkl"]}}}, "a path that is none"),
        ({"flavors": SKLEARN["flavors"] | {"sklearn": {"skops_trusted_types": 1}}}, "no list of texts"),
        ("[" * 100_000, "cannot be read"),
        ({"flavors": SKLEARN["flavors"] | {"sklearn": {"serialization_format": "dill"}}}, "format is 'dill'"),
        (SKLEARN | {"signature": {"inputs": "{"}}, "inputs of its signature"),
        (SKLEARN | {"signature": {"inputs": "{}"}}, "not a list of columns"),
    ],
)
def test_what_cannot_be_a_model_is_refused_with_the_reason(tmp_path: Path, head: Any, reason: str) -> None:
    with pytest.raises(MlModelError, match=reason):
        read_mlmodel(written(tmp_path / "m", head))


def test_a_text_that_holds_itself_many_times_over_is_not_written_out(tmp_path: Path) -> None:
    doubled = "".join(f"a{place}: &a{place} [*a{place - 1}, *a{place - 1}]\n" for place in range(1, 60))
    head = "a0: &a0 [x, x]\n" + doubled + "flavors: {python_function: {loader_module: *a59}}\n"
    assert read_mlmodel(written(tmp_path / "m", head)).loader_module is None


def test_a_symbolic_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "m", SKLEARN, {})
    (tmp_path / "elsewhere").write_text("")
    (folder / "model.pkl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MlModelError, match="outside of its own"):
        read_mlmodel(folder)


def test_a_folder_without_the_file_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(MlModelError, match="no MLmodel file"):
        read_mlmodel(tmp_path)
