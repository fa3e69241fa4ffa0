"""From MLflow's words for what a model takes to our signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inference.signature import ColumnType, Task
from runners.errors import MlModelError
from runners.mlmodel import MlModel
from runners.schema import Description, foreign_signature

OPAQUE = Description(task=Task.OPAQUE)


def model(inputs: list[dict[str, Any]] | None, outputs: list[dict[str, Any]] | None = None) -> MlModel:
    return MlModel(
        folder=Path("m"),
        flavour="sklearn",
        data=None,
        loader_module=None,
        serialization="pickle",
        trusted_types=(),
        code_paths=(),
        inputs=None if inputs is None else tuple(inputs),
        outputs=None if outputs is None else tuple(outputs),
        params=None,
        python=None,
        requirements=(),
        example=None,
        example_type=None,
    )


def tensor(dtype: str, shape: list[int], name: str | None = None) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}} | ({"name": name} if name else {})


@pytest.mark.parametrize(
    ("kind", "column_type", "nullable"),
    [
        ("double", ColumnType.DOUBLE, True),
        ("float", ColumnType.DOUBLE, True),
        ("long", ColumnType.LONG, False),
        ("integer", ColumnType.LONG, False),
        ("boolean", ColumnType.BOOLEAN, False),
        ("string", ColumnType.STRING, True),
        ("datetime", ColumnType.STRING, True),
        ("binary", ColumnType.STRING, True),
    ],
)
def test_a_column_may_have_gaps_where_mlflow_lets_them_through(
    kind: str, column_type: ColumnType, nullable: bool
) -> None:
    (column,) = foreign_signature(model([{"type": kind, "name": "a", "required": True}]), OPAQUE).columns
    assert (column.type, column.nullable, column.optional) == (column_type, nullable, False)


@pytest.mark.parametrize(("kind", "column_type"), [("double", ColumnType.DOUBLE), ("long", ColumnType.ANY)])
def test_a_column_that_may_be_left_out_is_one_gap(kind: str, column_type: ColumnType) -> None:
    (column,) = foreign_signature(model([{"type": kind, "name": "a", "required": False}]), OPAQUE).columns
    assert (column.type, column.nullable, column.optional) == (column_type, True, True)


def test_a_tensor_is_a_matrix_of_numbered_columns() -> None:
    signature = foreign_signature(model([tensor("float64", [-1, 3])]), OPAQUE)
    assert [column.name for column in signature.columns] == ["0", "1", "2"]
    assert {(column.type, column.nullable) for column in signature.columns} == {(ColumnType.DOUBLE, True)}
    assert signature.matrix
    assert len(foreign_signature(model([tensor("int32", [-1, 2, 2])]), OPAQUE).columns) == 4


def test_named_tensors_of_one_value_are_columns() -> None:
    signature = foreign_signature(model([tensor("int64", [-1], "a"), tensor("str", [-1, 1], "b")]), OPAQUE)
    assert [(column.name, column.type) for column in signature.columns] == [
        ("a", ColumnType.LONG),
        ("b", ColumnType.STRING),
    ]
    assert not signature.matrix


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([{"type": "array", "name": "a", "items": {"type": "double"}}], "only scalar columns"),
        ([tensor("float64", [3, 3])], r"shape \[3, 3\]"),
        ([tensor("float64", [-1, -1])], "only"),
        ([tensor("complex128", [-1, 2])], "complex128"),
        ([tensor("float64", [-1, 2], "a"), tensor("float64", [-1, 2], "b")], "several tensors"),
        ([{"type": "double", "name": "a"}] * 2, "the same name"),
        (None, "no signature"),
    ],
)
def test_what_no_table_of_rows_holds_is_refused(inputs: Any, reason: str) -> None:
    with pytest.raises(MlModelError, match=reason):
        foreign_signature(model(inputs), OPAQUE)


def test_without_a_signature_the_columns_are_those_it_was_fitted_on() -> None:
    by_name = foreign_signature(model(None), Description(task=Task.OPAQUE, feature_names=("a", "b"), n_features=2))
    assert [(column.name, column.type, column.nullable) for column in by_name.columns] == [
        ("a", ColumnType.ANY, True),
        ("b", ColumnType.ANY, True),
    ]
    by_width = foreign_signature(model(None), Description(task=Task.OPAQUE, n_features=2))
    assert ([column.name for column in by_width.columns], by_width.matrix) == (["0", "1"], True)


def test_a_classifier_has_its_classes_with_their_types() -> None:
    told = {"task": "binary", "classes": [False, True], "has_proba": True, "outputs": ["x", "y"]}
    signature = foreign_signature(model([{"type": "double", "name": "a"}]), Description.model_validate(told))
    assert (signature.task, signature.classes, signature.outputs) == (Task.BINARY, (False, True), ())
    assert [type(label) for label in signature.classes] == [bool, bool]


def test_several_outputs_are_named_by_the_model_or_by_its_schema() -> None:
    inputs = [{"type": "double", "name": "a"}]
    outputs = [{"type": "double", "name": "low"}, {"type": "double", "name": "high"}]
    assert foreign_signature(model(inputs, outputs), OPAQUE).outputs == ("low", "high")
    described = Description(task=Task.REGRESSION, outputs=("0", "1"))
    assert foreign_signature(model(inputs, outputs), described).outputs == ("0", "1")
