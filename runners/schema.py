"""From what a foreign model says it takes and gives, in MLflow's words, to our signature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError

from inference.signature import Column, ColumnType, Signature, Task
from runners.errors import MlModelError
from runners.mlmodel import MlModel, Specs

_SCALARS: Final[Mapping[str, ColumnType]] = {
    "double": ColumnType.DOUBLE,
    "float": ColumnType.DOUBLE,
    "long": ColumnType.LONG,
    "integer": ColumnType.LONG,
    "boolean": ColumnType.BOOLEAN,
    "string": ColumnType.STRING,
    "datetime": ColumnType.STRING,  # ISO 8601; the runner makes dates of it
    "binary": ColumnType.STRING,  # base64; the runner makes bytes of it
    "any": ColumnType.ANY,
}
# What MLflow's own check of a column lets through: a float column holds NaN and text is not looked at, while an
# integer or boolean column with a gap is no such column any more.
_GAPS: Final = frozenset({"double", "float", "string", "datetime", "binary", "any"})
_ENTRIES: Final[Mapping[str, ColumnType]] = {
    "float": ColumnType.DOUBLE,
    "int": ColumnType.LONG,
    "uint": ColumnType.LONG,
    "bool": ColumnType.BOOLEAN,
    "str": ColumnType.STRING,
    "object": ColumnType.ANY,
}
_MOST_COLUMNS: Final = 100_000


class Description(BaseModel):
    """What the loaded model says of itself, as the runner's `describe` answers.

    `task` is a classification only where `predict` follows from `predict_proba`, by `threshold` or by the highest;
    `feature_names` and `n_features` tell what it was fitted on, where it knows; `outputs` names the values of a row
    where there are several.
    """

    model_config = ConfigDict(frozen=True)

    task: Task
    classes: tuple[StrictBool | StrictInt | StrictFloat | StrictStr, ...] = ()
    threshold: float | None = None
    feature_names: tuple[str, ...] | None = None
    n_features: int | None = None
    outputs: tuple[str, ...] = ()
    libraries: Mapping[str, str] = {}


def foreign_signature(model: MlModel, described: Description) -> Signature:
    """Return our signature of a foreign model.

    Without a signature of MLflow's, the columns are those the model was fitted on, of any type; a gap is for the
    model to refuse.

    Raises:
        MlModelError: It takes what no table of rows holds, or nobody knows what it takes.
    """
    columns, matrix = _columns(model, described)
    classified = described.task in {Task.BINARY, Task.MULTICLASS}
    outputs = () if classified else described.outputs or _named_outputs(model)
    try:
        return Signature(
            columns=columns,
            task=described.task,
            classes=described.classes if classified else (),
            outputs=outputs,
            matrix=matrix,
        )
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise MlModelError(model.folder, f"its signature makes no sense: {reason}") from error


def _columns(model: MlModel, described: Description) -> tuple[tuple[Column, ...], bool]:
    specs = model.inputs
    if specs is None:
        return _fitted(model, described)
    if any(spec.get("type") == "tensor" for spec in specs):
        return _tensors(model, specs)
    if all(spec.get("name") is None for spec in specs):
        return tuple(_column(model, spec, str(place)) for place, spec in enumerate(specs)), True
    return tuple(_column(model, spec, str(spec.get("name"))) for spec in specs), False


def _column(model: MlModel, spec: Mapping[str, Any], name: str) -> Column:
    kind = str(spec.get("type"))
    if kind not in _SCALARS:
        raise MlModelError(model.folder, f"its column '{name}' is of type {kind}: only scalar columns are served")
    required = spec.get("required", not spec.get("optional", False))
    if required:
        return Column(name=name, type=_SCALARS[kind], nullable=kind in _GAPS)
    # Integers and truth values have no gap, and a column that may be left out is one gap.
    loose = _SCALARS[kind] if kind in _GAPS else ColumnType.ANY
    return Column(name=name, type=loose, nullable=True, optional=True)


def _tensors(model: MlModel, specs: Specs) -> tuple[tuple[Column, ...], bool]:
    """Return the columns of one unnamed tensor, flattened, or of named ones that hold one value per row each."""
    shapes = [_shape(model, spec) for spec in specs]
    kinds = [_entry(model, spec) for spec in specs]
    if len(specs) == 1 and specs[0].get("name") is None:
        width = math.prod(shapes[0])
        if not 1 <= width <= _MOST_COLUMNS:
            raise MlModelError(model.folder, f"it takes a tensor of {width} values per row")
        return tuple(_entry_column(str(place), kinds[0]) for place in range(width)), True
    wide = [
        spec for spec, shape in zip(specs, shapes, strict=True) if math.prod(shape) != 1 or not spec.get("name")
    ]
    if wide:
        raise MlModelError(model.folder, "it takes several tensors: only such with a name and one value are served")
    named = zip(specs, kinds, strict=True)
    return tuple(_entry_column(str(spec["name"]), kind) for spec, kind in named), False


def _shape(model: MlModel, spec: Mapping[str, Any]) -> list[int]:
    """Return the shape of one row."""
    inner = spec.get("tensor-spec")
    shape = inner.get("shape") if isinstance(inner, dict) else None
    whole = isinstance(shape, list) and bool(shape) and all(isinstance(size, int) for size in shape)
    if not whole or not isinstance(shape, list) or shape[0] != -1 or min(shape[1:], default=1) < 1:
        raise MlModelError(model.folder, f"it takes a tensor of shape {shape}: only [-1, columns] is served")
    return shape[1:]


def _entry(model: MlModel, spec: Mapping[str, Any]) -> ColumnType:
    dtype = str(spec["tensor-spec"].get("dtype"))
    kind = _ENTRIES.get(dtype.rstrip("0123456789"))
    if kind is None:
        raise MlModelError(model.folder, f"it takes a tensor of {dtype}, which is not served")
    return kind


def _entry_column(name: str, kind: ColumnType) -> Column:
    return Column(name=name, type=kind, nullable=kind in {ColumnType.DOUBLE, ColumnType.ANY})


def _fitted(model: MlModel, described: Description) -> tuple[tuple[Column, ...], bool]:
    if described.feature_names is not None:
        return tuple(
            Column(name=name, type=ColumnType.ANY, nullable=True) for name in described.feature_names
        ), False
    if described.n_features is None:
        raise MlModelError(
            model.folder,
            "it has no signature and does not know what it was fitted on; log it with `signature=`",
        )
    columns = (Column(name=str(place), type=ColumnType.ANY, nullable=True) for place in range(described.n_features))
    return tuple(columns), True


def _named_outputs(model: MlModel) -> tuple[str, ...]:
    specs = model.outputs or ()
    names = [spec.get("name") for spec in specs]
    named = len(names) > 1 and all(isinstance(name, str) for name in names)
    return tuple(str(name) for name in names) if named else ()
