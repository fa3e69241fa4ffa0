"""Compiles a foreign model, or proves its compiled form again, where its own libraries are.

Run as `python -I -B compile_child.py JOB` by the interpreter of an environment with the model's libraries and those
of the compiler. Everything it says goes into the file that the job names; the paths it works on are ours, the model
it loads is not, which is why it is a process of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from typing import Any

_LONGEST = 500
_FACTS = {
    "CompileError": ("part", "reason"),
    "ParityError": ("decisions_changed", "largest_difference", "tolerance", "rows"),
}


def main() -> None:
    """Do the job, and write what came of it."""
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123
        job = json.load(file)
    _beside("child").end_with(job["parent"])
    sys.argv[1:] = []
    try:
        result = _work(job)
    # What a stranger's model raises is of any kind; the other side tells a person.
    except Exception as error:
        lines = str(error).strip().splitlines()
        facts = {name: getattr(error, name) for name in _FACTS.get(type(error).__name__, ())}
        message = lines[0][:_LONGEST] if lines else ""
        result = {"error": type(error).__name__, "message": message, "facts": facts}
    with open(job["result"], "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(result, file)


def _work(job: dict[str, Any]) -> dict[str, Any]:
    if sys.version_info < (3, 11):  # noqa: UP036  (it runs in environments of others)
        part = f"a model of Python {sys.version_info[0]}.{sys.version_info[1]}"
        facts = {"part": part, "reason": "the compiler needs Python 3.11 or newer"}
        return {"error": "CompileError", "message": "", "facts": facts}
    specification, tables = job["specification"], _beside("child_table").TableMaker
    model = _beside("child_model").ChildModel(specification, tables).model  # its code paths come first on the path
    sys.path.insert(0, job["staging"])
    columns = [{"name": name, "values": values} for name, values in job["columns"].items()]
    table = tables(model, specification).make({"columns": columns, "rows": job["rows"], "arrays": []}, bytearray())
    if not hasattr(table, "columns"):
        model, table = _named(model, table)
    if job["what"] == "verify":
        verify = importlib.import_module("compilation.verify").verify
        proof = verify(_path(job["folder"]), model, table)
    else:
        made = importlib.import_module("compilation.candidates").candidates(model, table)
        selected = importlib.import_module("compilation.selection").select_runtimes(made, model, table)
        proof = selected.proof
        selected.compiled.save(_path(job["folder"]))
        proof.save(_path(job["folder"]))
    return {"proof": proof.model_dump(mode="json")}


def _named(model: Any, table: Any) -> tuple[Any, Any]:
    """Return a model fitted on a matrix as one that was fitted on a frame of numbered columns, and the frame.

    The compiler tells columns by their names. The names are given to the first step alone, which hands on matrices.
    """
    numpy, pandas = importlib.import_module("numpy"), importlib.import_module("pandas")
    names = [str(place) for place in range(table.shape[1])]
    first = model.steps[0][1] if hasattr(model, "steps") else model
    first.feature_names_in_ = numpy.array(names, dtype=object)
    return model, pandas.DataFrame(table, columns=names)


def _path(text: str) -> Any:
    return importlib.import_module("pathlib").Path(text)


def _beside(name: str) -> Any:
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.py")  # noqa: PTH100,PTH118,PTH120
    spec = importlib.util.spec_from_file_location(f"_fairmind_{name}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no file {name}.py beside the child")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
