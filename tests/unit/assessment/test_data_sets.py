"""Data sets that were uploaded: kept once, found by name, refused where they are no table."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine

from assessment.data_sets import DataSet, DataSets
from assessment.errors import (
    DataSetFormatError,
    DataSetNameError,
    DataSetNotFoundError,
    DataSetTooLargeError,
    MissingColumnError,
)
from assessment.upload import Upload
from tests.unit.assessment.conftest import NOW

CSV = b"prediction,sex,race,age\n1,female,asian,41\n0,male,,\n1,female,black,23\n"
COUNT = iter(range(1000))


@pytest.fixture
def data_sets(control: Engine, tmp_path: Path) -> DataSets:
    return DataSets(control, tmp_path / "datasets", most_rows=100)


def add(
    data_sets: DataSets, content: bytes = CSV, filename: str = "people.csv", name: str | None = None
) -> DataSet:
    number = next(COUNT)
    now = NOW + timedelta(seconds=number)
    return data_sets.add(Upload(content, filename, name), dataset_id=f"ds_{number}", user_id="ada", now=now)


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def test_a_csv_is_kept_with_its_columns_in_order_and_its_rows(data_sets: DataSets) -> None:
    kept = add(data_sets)
    assert (kept.name, kept.filename, kept.rows) == ("people", "people.csv", 3)
    assert list(kept.columns.items()) == [
        ("prediction", "int64"),
        ("sex", "str"),
        ("race", "str"),
        ("age", "float64"),
    ]
    assert data_sets.find("people") == data_sets.find(kept.id) == kept
    frame = data_sets.read(kept, ["sex", "prediction", "sex"])
    assert frame.to_dict("list") == {"sex": ["female", "male", "female"], "prediction": [1, 0, 1]}
    assert data_sets.first_rows(kept, 2)[1] == {"prediction": 0, "sex": "male", "race": None, "age": None}
    assert [len(batch) for batch in data_sets.batches(kept, ["age", "not there"])] == [3]


def test_the_same_rows_as_csv_and_as_parquet_are_one_data_set(data_sets: DataSets) -> None:
    kept = add(data_sets)
    same = parquet(pd.read_csv(io.BytesIO(CSV)))
    assert add(data_sets, same, "people.parquet") == kept
    assert add(data_sets, same, "no-suffix", name="people") == kept
    assert data_sets.listed()[1] == 1


def test_a_name_means_the_newest_rows_and_the_older_ones_are_found_by_id(data_sets: DataSets) -> None:
    old = add(data_sets)
    new = add(data_sets, CSV + b"0,male,white,50\n")
    assert data_sets.find("people") == new
    assert data_sets.find(old.id).rows == 3
    assert [data_set.id for data_set in data_sets.listed()[0]] == [new.id, old.id]


def test_a_data_set_that_is_removed_is_gone_with_its_rows(data_sets: DataSets, tmp_path: Path) -> None:
    kept = add(data_sets)
    assert data_sets.remove("people") == kept
    with pytest.raises(DataSetNotFoundError, match="no data set 'people'"):
        data_sets.find("people")
    assert list((tmp_path / "datasets").iterdir()) == []


def test_rows_that_are_gone_are_said_to_be(data_sets: DataSets, tmp_path: Path) -> None:
    kept = add(data_sets)
    (tmp_path / "datasets" / f"{kept.id}.parquet").unlink()
    with pytest.raises(DataSetNotFoundError, match="gone"):
        data_sets.find("people")
    assert add(data_sets).rows == 3  # and can be uploaded again


@pytest.mark.parametrize(
    ("content", "filename", "reason"),
    [
        (b"", "a.csv", "it is empty"),
        (b"a,b\n", "a.csv", "it has no rows"),
        (b"a,a\n1,2\n", "a.csv", "names the column 'a' twice"),
        (b"a,b\n1,2\n1,2,3\n", "a.csv", "different numbers of fields"),
        (b"\xff\xfe\x00", "a.csv", "not UTF-8"),
        (b"%PDF-1.4\n1 0 obj\nendobj\n", "a.pdf", "it has one column"),
        (b"PAR1 is not all of it", "a.csv", "not a Parquet file"),
        (b"a,b\n1,2\n", "a.parquet", "not a Parquet file"),
    ],
)
def test_what_is_no_table_is_refused_and_leaves_nothing(
    data_sets: DataSets, tmp_path: Path, content: bytes, filename: str, reason: str
) -> None:
    with pytest.raises(DataSetFormatError, match=reason):
        add(data_sets, content, filename)
    assert list((tmp_path / "datasets").iterdir()) == []


def test_too_many_rows_are_refused_before_a_parquet_file_is_read(data_sets: DataSets) -> None:
    rows = pd.DataFrame({"a": range(101)})
    for content, filename in ((parquet(rows), "a.parquet"), (rows.to_csv().encode(), "a.csv")):
        with pytest.raises(DataSetTooLargeError, match="101 rows, at most 100"):
            add(data_sets, content, filename)


@pytest.mark.parametrize("name", ["", "../up", "a b", "-x", "x" * 101])
def test_a_name_that_could_be_a_path_is_refused(data_sets: DataSets, name: str) -> None:
    with pytest.raises(DataSetNameError):
        add(data_sets, name=name)


@pytest.mark.parametrize(
    ("filename", "name"),
    [("..\\..\\My people (2).csv", "My-people-2"), ("/etc/pass wd.csv", "pass-wd"), ("<b>.csv", "b")],
)
def test_a_name_is_made_of_the_filename(data_sets: DataSets, filename: str, name: str) -> None:
    kept = add(data_sets, filename=filename)
    assert kept.name == name
    assert "/" not in kept.filename
    assert "\\" not in kept.filename


def test_a_column_that_is_not_there_is_named(data_sets: DataSets) -> None:
    with pytest.raises(MissingColumnError, match=r"no column 'gender'; it has prediction, sex"):
        data_sets.read(add(data_sets), ["gender"])
