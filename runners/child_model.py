"""The model inside its process: how it is loaded, what it is, what it answers to a table of columns.

Loaded by `child.py` in the model's own environment (Python 3.9 or newer): the standard library, numpy and the
model's libraries, nothing of ours. What MLflow's flavours do when they load is done here without MLflow where it
can be, so that most environments need none.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.metadata
import math
import pickle
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

_LIBRARIES = ("numpy", "pandas", "scipy", "scikit-learn", "skops", "xgboost", "lightgbm", "catboost", "mlflow")

# Whose `predict` returns the class of the highest `predict_proba`; any other class may decide by a rule of its own.
_ARGMAX_PACKAGES = {"sklearn", "xgboost", "lightgbm", "catboost", "imblearn"}
_OWN_RULE = {"SVC", "NuSVC", "DummyClassifier"}
_THRESHOLDS = {"FixedThresholdClassifier": "threshold", "TunedThresholdClassifierCV": "best_threshold_"}


class _AnswerError(Exception):
    """The model's answer is of a kind that cannot be sent."""


class ChildModel:
    """A loaded model.

    Args:
        specification: The JSON of a `RunnerSpecification`.
        tables: `child_table.TableMaker`.
    """

    def __init__(self, specification: dict[str, Any], tables: Any) -> None:
        folder = Path(specification["model"])
        sys.path_hooks.insert(0, _finder_within(folder))
        sys.path[:0] = [str(folder / path) for path in specification["code_paths"]]
        self.flavour = specification["flavour"]
        self.model = _LOADERS[self.flavour](folder, specification)
        self._tables = tables(self.model, specification)
        self._accepts_params = bool(specification["params"])

    def answer(self, header: dict[str, Any], payload: bytearray) -> tuple[dict[str, Any], list[Any]]:
        """Return header and arrays of the answer to a `predict` call.

        `want` is "probabilities", answered by one float64 array [N, K], or "predict", by outputs of N values each.
        """
        table = self._tables.make(header, payload)
        if header["want"] == "probabilities":
            return {}, [np.asarray(self.model.predict_proba(table), dtype=np.float64)]
        return _outputs(self._predict(table, header.get("params")))

    def describe(self) -> dict[str, Any]:
        """Return what can be told of the model without its training data.

        `task` is binary or multiclass only where `predict` is known to follow from `predict_proba` by `threshold`
        (at it and above: the second class) or, where that is None, by the highest probability; everything that is
        neither this nor a known regressor is opaque. `outputs` names the values of a row where there are several.
        """
        final, threshold = _final(self.model)
        classes = _plain_classes(getattr(final, "classes_", None))
        has_proba = self.flavour != "python_function" and hasattr(self.model, "predict_proba")
        task, outputs = "opaque", self._probe_outputs()
        if classes and has_proba and _follows_probabilities(final):
            task = "binary" if len(classes) == 2 else "multiclass"
        elif self.flavour != "python_function" and _is_regressor(final):
            task = "regression"
        names = getattr(self.model, "feature_names_in_", None)
        features = getattr(self.model, "n_features_in_", None)
        return {
            "task": task,
            "classes": classes if task in {"binary", "multiclass"} else [],
            "threshold": threshold if task == "binary" else None,
            "feature_names": None if names is None else [str(name) for name in names],
            "n_features": None if features is None else int(features),
            "outputs": [] if task in {"binary", "multiclass"} else outputs,
            "has_proba": has_proba,
            "libraries": _libraries(),
        }

    def export(self) -> str:
        """Return LightGBM's own text of the model: its trees, where they are stored inside something else."""
        return str(getattr(self.model, "booster_", self.model).model_to_string())

    def _predict(self, table: Any, params: dict[str, Any] | None) -> Any:
        if self.flavour == "python_function" and self._accepts_params and params:
            return self.model.predict(table, params=params)
        return self.model.predict(table)

    def _probe_outputs(self) -> list[str]:
        """Return the names of the values in one row's answer, none where it is one value or no row can be made."""
        with contextlib.suppress(Exception):
            header, _ = _outputs(self._predict(self._tables.any_row(), None))
            names = [output["name"] for output in header["outputs"]]
            if len(names) > 1:
                return [str(index) if name is None else name for index, name in enumerate(names)]
        return []


# ---- loading ----


class _Loader(importlib.machinery.SourceFileLoader):
    """Imports a model's own code and writes no bytecode beside it: its folder is known by a digest."""

    def set_data(self, path: Any, data: Any, *, _mode: int = 0o666) -> None:
        pass


def _finder_within(folder: Path) -> Any:
    details = (
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
        (_Loader, importlib.machinery.SOURCE_SUFFIXES),
        (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
    )

    def finder(path: str) -> Any:
        if folder not in (Path(path), *Path(path).parents):
            raise ImportError("is no code of the model's own")
        return importlib.machinery.FileFinder(path, *details)

    return finder


def _load_sklearn(folder: Path, specification: dict[str, Any]) -> Any:
    flavour = _flavour_of(folder, "sklearn")
    # Where the other side has read the file's name, that is the one it has checked: it has a parser of YAML.
    named = flavour.get("pickled_model") or _flavour_of(folder, "python_function").get("model_path")
    name = specification.get("data") or named or "model.pkl"
    serialization = specification["serialization"] or flavour.get("serialization_format") or "pickle"
    return _unpickle(folder / name, serialization, specification["trusted_types"])


def _load_xgboost(folder: Path, specification: dict[str, Any]) -> Any:
    flavour = _flavour_of(folder, "xgboost")
    module, _, name = (flavour.get("model_class") or "xgboost.core.Booster").rpartition(".")
    model = getattr(importlib.import_module(module), name)()
    model.load_model(str(folder / (flavour.get("data") or "model.xgb")))
    return _Booster(model, importlib.import_module("xgboost").DMatrix) if name == "Booster" else model


def _load_lightgbm(folder: Path, specification: dict[str, Any]) -> Any:
    flavour = _flavour_of(folder, "lightgbm")
    path = folder / (flavour.get("data") or "model.lgb")
    if (flavour.get("model_class") or "lightgbm.basic.Booster") == "lightgbm.basic.Booster":
        return importlib.import_module("lightgbm").Booster(model_file=str(path))
    serialization = specification["serialization"] or flavour.get("serialization_format") or "cloudpickle"
    return _unpickle(path, serialization, specification["trusted_types"])


def _load_pyfunc(folder: Path, specification: dict[str, Any]) -> Any:
    return importlib.import_module("mlflow.pyfunc").load_model(str(folder))


_LOADERS = {
    "sklearn": _load_sklearn,
    "xgboost": _load_xgboost,
    "lightgbm": _load_lightgbm,
    "python_function": _load_pyfunc,
}


class _Booster:
    """XGBoost's plain booster, which takes a matrix of its own kind."""

    def __init__(self, booster: Any, matrix: Any) -> None:
        self.booster, self._matrix = booster, matrix
        self.feature_names_in_, self.n_features_in_ = booster.feature_names, booster.num_features()

    def predict(self, table: Any) -> Any:
        return self.booster.predict(self._matrix(table))


def _unpickle(path: Path, serialization: str, trusted: list[str]) -> Any:
    if serialization == "skops":
        return importlib.import_module("skops.io").load(path, trusted=trusted)
    module = importlib.import_module("cloudpickle") if serialization == "cloudpickle" else pickle
    with path.open("rb") as file:
        return module.load(file)  # this process exists so that a pickle may be opened


def _flavour_of(folder: Path, flavour: str) -> dict[str, str]:
    """Return the plain values of one flavour in the folder's MLmodel file.

    The file is YAML as MLflow writes it, one `key: value` per line; the environment need not have a YAML parser.
    """
    found: dict[str, str] = {}
    section = ""
    with (folder / "MLmodel").open(encoding="utf-8") as lines:
        for line in lines:
            text = line.strip()
            indent = len(line) - len(line.lstrip())
            key, _, value = text.partition(":")
            if indent <= 2:
                section = key if indent == 2 else ""
            elif indent == 4 and section == flavour and value.strip() not in {"", "null"}:
                found[key] = value.strip().strip("'\"")
    return found


# ---- what it is ----


def _final(model: Any) -> tuple[Any, float | None]:
    """Return the estimator inside pipelines, searches and thresholds, and the threshold that decides."""
    threshold: float | None = None
    while True:
        if hasattr(model, "steps") and isinstance(model.steps, list):
            model = model.steps[-1][1]
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif type(model).__name__ in _THRESHOLDS and _is_plain_threshold(model):
            value = getattr(model, _THRESHOLDS[type(model).__name__])
            threshold = 0.5 if value == "auto" else float(value)
            model = model.estimator_
        else:
            return model, threshold


def _is_plain_threshold(model: Any) -> bool:
    """Return whether the rule is: the second class at a `predict_proba` of the threshold and above."""
    positive = getattr(model, "pos_label", None)
    method = getattr(model, "response_method", "auto")
    has_proba = hasattr(model.estimator_, "predict_proba")
    by_probability = method == "predict_proba" or (method == "auto" and has_proba)
    return by_probability and (positive is None or positive == model.classes_[-1])


def _follows_probabilities(final: Any) -> bool:
    kind = type(final)
    return kind.__module__.split(".")[0] in _ARGMAX_PACKAGES and kind.__name__ not in _OWN_RULE | set(_THRESHOLDS)


def _plain_classes(classes: Any) -> list[Any]:
    """Return class labels as JSON has them; empty where there are none or they are no plain labels."""
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        return []
    labels = classes.tolist()
    kinds = {type(label) for label in labels}
    return labels if len(kinds) == 1 and kinds <= {int, float, bool, str} and len(labels) > 1 else []


def _is_regressor(final: Any) -> bool:
    if type(final).__name__ in {"_Booster", "Booster"} or getattr(final, "_estimator_type", None) == "regressor":
        return True
    return any(base.__name__ == "RegressorMixin" for base in type(final).__mro__)


def _libraries() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


# ---- what it answers ----


def _outputs(result: Any) -> tuple[dict[str, Any], list[Any]]:
    """Return header and arrays of an answer: one output of N values, or one per column where rows have several."""
    columns: list[tuple[str | None, Any]]
    if hasattr(result, "toarray"):
        result = result.toarray()
    if hasattr(result, "columns") and hasattr(result, "iloc"):
        columns = [(str(name), result.iloc[:, index]) for index, name in enumerate(result.columns)]
    elif isinstance(result, dict):
        columns = [(str(name), values) for name, values in result.items()]
    elif isinstance(result, np.ndarray) and result.ndim == 2:
        columns = [(None, result[:, index]) for index in range(result.shape[1])]
    else:
        columns = [(None, result)]
    outputs: list[dict[str, Any]] = []
    arrays: list[Any] = []
    for name, values in columns:
        array = _numbers(values)
        if array is None:
            outputs.append({"name": name, "values": _values(values)})
        else:
            outputs.append({"name": name, "array": len(arrays)})
            arrays.append(array)
    return {"outputs": outputs}, arrays


def _numbers(values: Any) -> Any:
    """Return the values as a float64, int64 or bool array [N], None where they are something else."""
    dtype = getattr(values, "dtype", None)
    if not isinstance(dtype, np.dtype) or getattr(values, "ndim", 0) != 1:
        return None
    if dtype.kind == "f":
        return np.asarray(values, dtype=np.float64)
    if dtype.kind == "i" or (dtype.kind == "u" and dtype.itemsize < 8):
        return np.asarray(values, dtype=np.int64)
    return np.asarray(values) if dtype.kind == "b" else None


def _values(values: Any) -> list[Any]:
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__") or getattr(values, "ndim", 1) == 0:
        raise _AnswerError("it is one value, not one per row")
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; what is missing (None, NaN, NaT, NA) is None."""
    if isinstance(value, (np.ndarray, np.generic)) and not isinstance(value, np.datetime64):
        value = value.tolist()
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if type(value).__name__ in {"NAType", "NaTType"} or (isinstance(value, np.datetime64) and np.isnat(value)):
        return None
    if hasattr(value, "isoformat") or isinstance(value, np.datetime64):
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    raise _AnswerError(f"it holds values of type {type(value).__name__}")
