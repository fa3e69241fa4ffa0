"""From the columns of a call to the table a model takes: frame, matrix or texts, typed as its MLflow schema says.

Imported by `child_model.py` in the model's own environment: numpy, pandas, nothing of ours.
"""

from __future__ import annotations

import base64
import importlib
from typing import Any

import numpy as np

_DTYPES = {"integer": "int32", "long": "int64", "float": "float32", "double": "float64", "boolean": "bool"}
_TEXT_MODULE = "sklearn.feature_extraction.text"


class TableMaker:
    """Makes what a model's `predict` takes.

    Args:
        model: The loaded model.
        specification: The JSON of a `RunnerSpecification`.
    """

    def __init__(self, model: Any, specification: dict[str, Any]) -> None:
        self._inputs: list[dict[str, Any]] | None = specification["inputs"]
        self._names = getattr(model, "feature_names_in_", None)
        self._features = getattr(model, "n_features_in_", None)
        self._takes_text = _takes_text(model)
        # Encoders fitted on a frame from a CSV file, or under pandas 3, know a missing text as NaN, else as None;
        # what code of the model's own expects nobody can tell, so that it gets what MLflow gives it.
        self._keeps_none = _was_fitted_on_none(model)
        is_foreign = specification["flavour"] == "python_function"
        self._missing_text = None if is_foreign or self._keeps_none else float("nan")
        if self._inputs is None or self._inputs[0]["type"] != "tensor":
            importlib.import_module("pandas")  # now: the first call is not to wait for it

    def make(self, header: dict[str, Any], payload: bytearray) -> Any:
        """Return the table of a `predict` call's columns."""
        arrays = _arrays(header["arrays"], payload)
        columns = {
            column["name"]: arrays[column["array"]] if "array" in column else column["values"]
            for column in header["columns"]
        }
        return self._table(columns, header["rows"])

    def any_row(self) -> Any:
        """Return one row of zeros and empty texts."""
        if self._inputs is not None and self._inputs[0]["type"] == "tensor":
            width = int(np.prod(self._inputs[0]["tensor-spec"]["shape"][1:]))
            return self._table({str(place): np.zeros(1) for place in range(width)}, 1)
        if self._inputs is not None:
            texts = {"string": [""], "datetime": ["1970-01-01"], "binary": [""]}
            columns = {
                str(index) if spec.get("name") is None else spec["name"]: texts.get(spec["type"], np.zeros(1))
                for index, spec in enumerate(self._inputs)
            }
            return self._table(columns, 1)
        known = self._names if self._names is not None else range(int(self._features or 1))
        return self._table({str(name): np.zeros(1) for name in known}, 1)

    def _table(self, columns: dict[str, Any], rows: int) -> Any:
        if self._takes_text and len(columns) == 1:
            return ["" if text is None else text for text in next(iter(columns.values()))]
        if self._inputs is None:
            return self._untyped(columns)
        if self._inputs[0]["type"] == "tensor":
            return self._tensors(columns, rows)
        return self._frame(columns)

    def _untyped(self, columns: dict[str, Any]) -> Any:
        import pandas as pd

        if self._names is not None:
            return pd.DataFrame({name: self._inferred(values) for name, values in columns.items()})
        matrix = [np.asarray(self._inferred(values)) for values in columns.values()]
        return np.column_stack(matrix)

    def _inferred(self, values: Any) -> Any:
        """Return a column whose type nobody told, as pandas would read it."""
        import pandas as pd

        if isinstance(values, np.ndarray):
            return values
        if any(isinstance(value, str) for value in values):
            return self._texts(values)
        if all(value is None for value in values):
            return np.full(len(values), np.nan)
        return pd.Series(values)

    def _tensors(self, columns: dict[str, Any], rows: int) -> Any:
        specs = self._inputs or []
        arrays = list(columns.values())
        if len(specs) > 1 or specs[0].get("name"):  # one tensor per name
            return {
                spec["name"]: np.asarray(columns[spec["name"]])
                .astype(spec["tensor-spec"]["dtype"])
                .reshape((rows, *spec["tensor-spec"]["shape"][1:]))
                for spec in specs
            }
        tensor = specs[0]["tensor-spec"]
        is_text = tensor["dtype"] in {"str", "object"}
        matrix = np.column_stack([np.asarray(values, dtype=object if is_text else None) for values in arrays])
        typed = matrix if is_text else matrix.astype(tensor["dtype"])
        return typed.reshape((rows, *tensor["shape"][1:]))

    def _frame(self, columns: dict[str, Any]) -> Any:
        import pandas as pd

        named: dict[Any, Any] = {}
        for index, spec in enumerate(self._inputs or []):
            name = spec.get("name")
            values = columns[str(index) if name is None else name]
            named[index if name is None else name] = self._typed(spec["type"], values)
        return pd.DataFrame(named)

    def _typed(self, kind: str, values: Any) -> Any:
        if kind == "string":
            return self._texts(list(values))
        if kind == "datetime":
            return _times(values)
        if kind == "binary":
            decoded = np.empty(len(values), dtype=object)
            decoded[:] = [None if value is None else base64.b64decode(value, validate=True) for value in values]
            return decoded
        if kind not in _DTYPES:
            return list(values)
        if not isinstance(values, np.ndarray):
            if kind == "boolean" and None in values:
                return np.array(values, dtype=object)
            if any(isinstance(value, str) for value in values):
                raise ValueError("a value is no number")
            values = np.array([np.nan if value is None else value for value in values])
        return _cast(values, np.dtype(_DTYPES[kind]))

    def _texts(self, values: list[Any]) -> Any:
        import pandas as pd

        if int(pd.__version__.split(".")[0]) >= 3 and not self._keeps_none:
            return pd.Series(values, dtype="str")
        texts = np.empty(len(values), dtype=object)
        texts[:] = [self._missing_text if value is None else value for value in values]
        return pd.Series(texts, dtype=object)


def _cast(values: Any, dtype: Any) -> Any:
    """Return the numbers in the model's own dtype; whole numbers with one missing stay float64, as in MLflow."""
    if dtype.kind in "ib" and values.dtype.kind == "f" and np.isnan(values).any():
        return values
    cast = values.astype(dtype)
    if dtype.kind == "i" and not np.array_equal(cast, values):
        raise ValueError(f"a value is no {8 * dtype.itemsize}-bit integer")
    return cast


def _times(values: Any) -> Any:
    import pandas as pd

    times = []
    for value in values:
        time: Any = pd.NaT if value is None else pd.Timestamp(value)
        times.append(time.tz_convert("UTC").tz_localize(None) if getattr(time, "tzinfo", None) else time)
    return pd.Series(times, dtype="datetime64[ns]")


def _arrays(described: list[Any], payload: bytearray) -> list[Any]:
    arrays, start = [], 0
    for name, shape in described:
        dtype = np.dtype(name)
        count = int(np.prod(shape))
        arrays.append(np.frombuffer(payload, dtype, count, start).reshape(shape))
        start += -(-count * dtype.itemsize // 8) * 8
    return arrays


def _takes_text(model: Any) -> bool:
    """Return whether the model takes a sequence of documents instead of a table."""
    while True:
        if hasattr(model, "steps") and isinstance(model.steps, list):
            model = model.steps[0][1]
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        else:
            return any(base.__module__ == _TEXT_MODULE for base in type(model).__mro__)


def _was_fitted_on_none(model: Any) -> bool:
    """Return whether an encoder inside the model has None among its categories."""
    if hasattr(model, "best_estimator_"):
        model = model.best_estimator_
    for categories in getattr(model, "categories_", None) or []:
        if any(category is None for category in categories):
            return True
    parts = [step[1] for step in getattr(model, "steps", None) or []]
    parts += [transformer[1] for transformer in getattr(model, "transformers_", None) or []]
    return any(_was_fitted_on_none(part) for part in parts if hasattr(part, "get_params"))
