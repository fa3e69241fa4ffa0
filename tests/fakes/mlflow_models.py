"""MLflow model folders written by hand, as small as the process of a model reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle
import skops.io

ODD_MODEL = '''
"""A model that does what its one column says."""

import ctypes, os, signal, subprocess, sys, time
import numpy as np


class Odd(object):
    def predict(self, matrix):
        asked = list(matrix[:, 0])
        for what in asked:
            if what == "hang":
                while True:
                    pass
            if what == "segfault":
                ctypes.string_at(0)
            if what == "exit":
                sys.exit(3)
            if what == "end":
                os._exit(3)
            if what == "be killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "hoard":
                return [bytearray(4_000_000_000)]
            if what == "shout":
                print("a line on standard output", flush=True)
                os.write(1, b"and another")
            if what == "have children":
                return [subprocess.Popen(["sleep", "600"]).pid]
            if what == "refuse":
                raise ValueError("no such thing\\nas this")
            if what == "fail":
                raise KeyError("a secret")
            if what == "talk":
                return np.zeros(5_000_000)
            if what == "short":
                return [1.0]
            if what == "many":
                import pandas as pd
                return pd.DataFrame({"first": np.arange(float(len(asked))), "second": ["x"] * len(asked)})
            if what == "matrix":
                return np.ones((len(asked), 2))
            if what == "mixed":
                inner = [[1, None], {"a": np.int64(2)}]
                return [1, "two", None, float("nan"), np.float32(0.5), np.datetime64("NaT"), *inner]
            if what == "nan":
                return np.array([np.nan, np.inf])
            if what == "object":
                return [object()]
            if what == "environment":
                return [sorted(os.environ), os.getcwd(), sys.path[0], os.getpid()]
        return [text.upper() for text in asked]
'''
_MLMODEL = """flavors:
  python_function:
    loader_module: mlflow.sklearn
    model_path: {file}
  sklearn:
    code: null
    pickled_model: {file}
    serialization_format: {serialization}
"""


def save_sklearn(model: Any, folder: Path, serialization: str = "cloudpickle") -> Path:
    """Write a fitted scikit-learn model to `folder` as MLflow's sklearn flavour does, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = "model.skops" if serialization == "skops" else "model.pkl"
    if serialization == "skops":
        skops.io.dump(model, folder / file)
    else:
        (folder / file).write_bytes(cloudpickle.dumps(model))
    (folder / "MLmodel").write_text(_MLMODEL.format(file=file, serialization=serialization), encoding="utf-8")
    return folder


def save_code(folder: Path, module: str, name: str, source: str) -> Path:
    """Write a model whose class `name` lives in the folder's own `code/`, at `module`, and return the folder."""
    code = folder / "code" / Path(*module.split("."))
    code.parent.mkdir(parents=True, exist_ok=True)
    if "." in module:
        (code.parent / "__init__.py").touch()
    code.with_suffix(".py").write_text(source, encoding="utf-8")
    # The pickle of `module.name()`, written out: nobody here can import it.
    (folder / "model.pkl").write_bytes(f"c{module}\n{name}\n(tR.".encode())
    (folder / "MLmodel").write_text(_MLMODEL.format(file="model.pkl", serialization="pickle"), encoding="utf-8")
    return folder
