from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sources.errors import SourceFormatError, SourceNotFoundError
from sources.file import FileSource
from sources.tables import TableFormat, plain, read_table


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_read_from_the_header(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(f"age{separator}job\n36{separator}clerk\n")

    assert read_table(path).to_dict("list") == {"age": [36], "job": ["clerk"]}


def test_only_the_usual_marks_mean_missing(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("number,text\n1,none\nNA,None\n3,NA\n,null\n")
    frame = read_table(path)

    assert frame["number"].isna().tolist() == [False, True, False, True]
    assert frame["text"].isna().tolist() == [False, False, True, True]
    assert frame["text"].dropna().tolist() == ["none", "None"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes("\ufeffname,age\nzoë,1\n".encode())

    assert read_table(path).columns.tolist() == ["name", "age"]


def test_parquet_and_csv_of_the_same_rows_give_the_same_table(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [True, False], "d": [0.5, np.nan]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.astype({"b": "category"}).to_parquet(tmp_path / "t.pq")

    pd.testing.assert_frame_equal(read_table(tmp_path / "t.csv"), read_table(tmp_path / "t.pq"))


@pytest.mark.parametrize(
    ("column", "dtype", "values"),
    [
        (pd.Series(pd.Categorical(["a", None, "b"])), "str", ["a", None, "b"]),
        (pd.Series(pd.Categorical([2, 1])), "str", ["2", "1"]),
        (pd.Series([1, None], dtype="Int64"), "float64", [1.0, None]),
        (pd.Series([1, 2], dtype="UInt8"), "int64", [1, 2]),
        (pd.Series([True, None], dtype="boolean"), "str", ["True", None]),
        (pd.Series([True, False], dtype=object), "bool", [True, False]),
        (pd.Series([True, None], dtype=object), "str", ["True", None]),
        (pd.Series([Decimal("1.5"), None], dtype=object), "float64", [1.5, None]),
        (pd.Series(["a", 1, None], dtype=object), "str", ["a", "1", None]),
        (pd.Series([0.5], dtype="float32"), "float64", [0.5]),
    ],
)
def test_every_column_becomes_one_of_five_types(column: pd.Series, dtype: str, values: list[object]) -> None:
    made = plain(pd.DataFrame({"c": column}))["c"]

    assert str(made.dtype) == dtype
    assert made.astype(object).where(made.notna(), None).tolist() == values


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.csv", b"", "it is empty"),
        ("t.csv", b"a,b\n", "it has no rows"),
        ("t.csv", b"a,a\n1,2\n", "names the column 'a' twice"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "different numbers of fields"),
        ("t.csv", b"a,b\n\xff\xfe,2\n", "not UTF-8"),
        ("t.pq", b"nonsense", "not a Parquet file"),
        ("t.xlsx", b"nonsense", "the suffix '.xlsx' says no format"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceFormatError, match=reason) as caught:
        read_table(tmp_path / name)

    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="nowhere"):
        FileSource(path=tmp_path / "nowhere.csv").read(tmp_path)


def test_a_given_format_wins_over_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "people.data").write_text("a,b\n1,2\n")
    source = FileSource.model_validate({"path": tmp_path / "people.data", "format": "csv"})

    assert source.read(tmp_path).to_dict("list") == {"a": [1], "b": [2]}
    assert read_table(tmp_path / "people.data", TableFormat.CSV).equals(source.read(tmp_path))
