"""Features go to Parquet files with the types they have, under names that every store takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from database.engine import reading
from monitoring.errors import FeatureStoreError
from monitoring.feature_store import FeatureStore, feature_path
from monitoring.feature_table import OURS, conformed, feature_tables_of, unified, unified_schema
from monitoring.predictions import encode_record
from monitoring.tables import FEATURE_FILE
from tests.unit.monitoring.log_home import LogHome, seen


@pytest.fixture
def home(tmp_path: Path, engine: Engine) -> LogHome:
    return LogHome(tmp_path, engine)


def table_of(new_record: Any, *features: Any, **changes: Any) -> pa.Table:
    lines = [encode_record(new_record(f"r{i}", features=one, **changes)).rstrip() for i, one in enumerate(features)]
    ((_, table),) = feature_tables_of(lines)[0].items()
    return table


def test_rows_are_archived_by_version_with_what_was_predicted(home: LogHome, new_record: Any) -> None:
    home.write(
        [new_record("a", positions=[0, 2], predictions=[1, "x"], scores=None, features=[{"age": 1}, {"age": 2.5}])],
        [new_record("b", variant=None, model_version="2", predictions=[0.5], features={"job": ["nurse"]})],
    )
    home.settle()
    one, two = sorted(home.tables(), key=lambda table: table.num_rows, reverse=True)
    time = datetime.fromtimestamp(1_700_000_000.5, UTC)
    assert one.to_pylist() == [
        dict(zip((*OURS, "age"), ("a-0", time, "champion", "1", None, 1.0), strict=True)),
        dict(zip((*OURS, "age"), ("a-2", time, "champion", '"x"', None, 2.5), strict=True)),
    ]
    assert two.to_pylist() == [dict(zip((*OURS, "job"), ("b-0", time, None, 0.5, 0.5, "nurse"), strict=True))]
    assert {str(path.relative_to(home.features).parent) for path in home.features.rglob("*.parquet")} == {
        "credit/1/2023-11-14",
        "credit/2/2023-11-14",
    }
    assert sum(seen(home.engine, "archived").values()) == 3


def test_tables_are_chosen_by_time_version_and_variant(home: LogHome, new_record: Any) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    home.write(
        *(
            [new_record(f"r{i}", served_at=start.timestamp() + i, variant=("champion", "challenger")[i % 2])]
            for i in range(6)
        ),
        [new_record("other", model_version="2", served_at=start.timestamp() + 2)],
    )
    home.settle()

    def ids(**chosen: Any) -> list[str]:
        return [name for table in home.tables(**chosen) for name in table.column(OURS[0]).to_pylist()]

    within = {"since": start + timedelta(seconds=1), "until": start + timedelta(seconds=4)}
    assert sorted(ids(**within)) == ["other-0", "r1-0", "r2-0", "r3-0"]
    assert ids(**within, version="1", variant="challenger") == ["r1-0", "r3-0"]
    assert ids(model="another") == []


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5, None], pa.float64()),
        ([1, None, 3], pa.int64()),
        ([True, None], pa.bool_()),
        (["a", None], pa.string()),
        ([None, None], pa.null()),
    ],
)
def test_a_feature_has_the_narrowest_type_that_holds_its_values(new_record: Any, values: Any, kind: Any) -> None:
    by_row = table_of(new_record, *([{"x": value}] for value in values))
    by_column = table_of(new_record, *({"x": [value]} for value in values))
    assert by_row.column("x").type == by_column.column("x").type == kind
    assert by_row.column("x").to_pylist() == by_column.column("x").to_pylist() == values


@pytest.mark.parametrize("values", [[1, "a"], [True, 2], [0.5, True], [[1.0], [2.0]], [2**63, 1], [{"a": 1}, None]])
def test_a_feature_without_one_type_is_json(new_record: Any, values: list[Any]) -> None:
    table = table_of(new_record, *([{"x": value}] for value in values))
    texts = table.column("x").to_pylist()
    assert [None if text is None else orjson.loads(text) for text in texts] == values
    assert table.schema.field("x").metadata == {b"fairmind": b"json"}


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text()
)


@given(columns=st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=4))
def test_tables_of_any_columns_become_one_and_no_value_is_lost(columns: list[list[Any]]) -> None:
    lines = [
        orjson.dumps(
            {
                "request_id": f"r{i}",
                "served_at": 1.0,
                "model": "m",
                "model_version": "1",
                "variant": None,
                "positions": list(range(len(values))),
                "predictions": [1.5] * len(values),
                "scores": None,
                "features": {"x": values} if i % 2 == 0 else [{"x": value} for value in values],
            }
        )
        for i, values in enumerate(columns)
    ]
    tables = [feature_tables_of([line])[0]["m", "1"] for line in lines]
    whole = unified(tables)
    expected = [value for values in columns for value in values]
    found = whole.column("x").to_pylist()
    if whole.schema.field("x").metadata is not None:
        found = [None if text is None else orjson.loads(text) for text in found]
    assert found == expected
    schema = unified_schema([whole.schema, pa.schema([("more", pa.bool_())])])
    assert conformed(whole, schema).column("more").null_count == len(expected)


def test_rows_have_null_for_features_that_others_have(new_record: Any) -> None:
    table = table_of(new_record, [{"a": 1}], {"b": [2]}, [{"a": 3, "fairmind.score": 9}])
    rows = {row["fairmind.prediction_id"]: (row["a"], row["b"]) for row in table.to_pylist()}
    assert rows == {"r0-0": (1, None), "r1-0": (None, 2), "r2-0": (3, None)}
    assert table.column_names == [*OURS, "a", "b"] or table.column_names == [*OURS, "b", "a"]


def test_rows_whose_features_are_not_kept_are_in_no_file(home: LogHome, new_record: Any) -> None:
    home.write(*([new_record(name, features=none)] for name, none in {"a": [], "b": {}, "c": [{}]}.items()))
    home.settle()
    assert home.tables() == []
    assert home.ids() == {"a-0": 1, "b-0": 1, "c-0": 1}
    assert list(home.spool.iterdir()) == []


def test_a_store_that_is_away_keeps_the_segments_and_what_was_shipped(home: LogHome, new_record: Any) -> None:
    home.write([new_record("a")])
    home.features.write_text("no folder")
    home.ship()
    with pytest.raises(OSError, match=r"directory|File exists"):
        home.archive()
    home.features.unlink()
    assert home.archive() == 1
    assert home.archived_ids() == home.ids() == {"a-0": 1}


@given(names=st.lists(st.text(min_size=1, max_size=300), min_size=2, max_size=2, unique=True))
def test_names_are_safe_in_paths_and_stay_apart(names: list[str]) -> None:
    time = datetime(2026, 1, 1, tzinfo=UTC)
    paths = [feature_path(name, "1", time, "a") for name in names if name.isprintable()]
    assert len(set(paths)) == len(paths)
    for path in paths:
        folder = path.split("/")[0]
        assert path.count("/") == 3
        assert folder not in {".", ".."}
        assert folder.isascii()
        assert len(folder) < 200


def test_a_uri_is_a_place_too_and_one_that_is_none_is_not_quoted(tmp_path: Path) -> None:
    table = pa.table({"x": [1]})
    store = FeatureStore(f"file://{tmp_path}/there")
    assert store.write("a/b.parquet", table) == (tmp_path / "there" / "a" / "b.parquet").stat().st_size
    assert FeatureStore(tmp_path / "there").read("a/b.parquet") == table
    store.remove("a/b.parquet")
    store.remove("a/b.parquet")
    for wrong in ("gopher://key:secret@there", "s3:///secret"):
        with pytest.raises(FeatureStoreError) as caught:
            FeatureStore(wrong).write("a.parquet", table)
        assert "secret" not in str(caught.value)


def test_a_store_that_is_no_disk_is_written_and_read_alike() -> None:
    table = pa.table({"x": [1]})
    store = FeatureStore("mock:///bucket/prefix/")
    store.write("a/b.parquet", table)
    assert (store.read("a/b.parquet"), store.schema("a/b.parquet")) == (table, table.schema)
    store.sweep()
    store.remove("a/b.parquet")
    store.remove("a/b.parquet")
    with pytest.raises(FileNotFoundError):
        store.read("a/b.parquet")


def test_what_is_left_of_a_file_that_was_being_written_is_swept(home: LogHome, new_record: Any) -> None:
    home.write([new_record("a")])
    home.settle()
    (path,) = home.features.rglob("*.parquet")
    torn = path.with_name(f"{path.name}.1-2.tmp")
    torn.write_bytes(b"PAR1")
    home.store.sweep()
    assert [*home.features.rglob("*.*")] == [path]


def test_files_are_private_and_known_with_their_rows_and_times(home: LogHome, new_record: Any) -> None:
    home.write([new_record("a")], [new_record("b", served_at=1_700_000_060.0)])
    home.settle()
    with reading(home.engine) as connection:
        (row,) = connection.execute(select(FEATURE_FILE)).all()
    assert (row.model, row.model_version, row.rows, row.remove_at) == ("credit", "1", 2, None)
    assert row.last_served_at - row.first_served_at == timedelta(seconds=59.5)
    assert (home.features / row.path).stat().st_size == row.bytes


def tables_of_any(lines: list[bytes], monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr("monitoring.feature_table._FEW", len(lines) + 1)
        return feature_tables_of(lines)


SHAPES = st.fixed_dictionaries(
    {
        "rows": st.integers(1, 3),
        "model_version": st.sampled_from(["1", '2"\\']),
        "variant": st.sampled_from(["champion", None]),
        "job": st.sampled_from(["nurse", "2026-01-01", 'a\n\u00fc"', None]),
        "age": st.sampled_from([1.5, 2, None]),
        "odd": st.sampled_from([1] * 20 + ["x", 2.5, [1], True, 2**53 + 1]),
        "form": st.sampled_from([dict] * 10 + [list]),
        "more": st.sampled_from([False] * 40 + [True]),
        "score": st.sampled_from([0.1] * 40 + [None]),
        "label": st.sampled_from([...] * 40 + [2, 2.0, None]),
    }
)
PLAIN = dict.fromkeys(("variant", "job", "age")) | {"rows": 1, "model_version": "1", "odd": 1, "form": dict}
PLAIN |= {"more": False, "score": 0.1, "label": ...}
STRINGS = [PLAIN | {"odd": "x", "form": list}] * 3


@example(shapes=[PLAIN, *STRINGS, PLAIN | {"odd": 2.5}], label=1)
@example(shapes=[PLAIN, *STRINGS, PLAIN | {"odd": 2.5, "more": True}], label=1)
@example(shapes=[PLAIN | {"odd": 2.5}, PLAIN | {"odd": 2**53 + 1}], label=1)
@example(shapes=[PLAIN | {"odd": 2.5}, PLAIN | {"odd": 2**53 + 1, "form": list}], label=1)
@example(shapes=[PLAIN, PLAIN | {"label": 2}], label=0.5)
@example(shapes=[PLAIN], label=None)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shapes=st.lists(SHAPES, min_size=1, max_size=60), label=st.sampled_from([1, "yes", True, 0.5, "\u00fc"]))
def test_usual_lines_are_read_by_arrow_as_they_are_read_one_by_one(
    new_record: Any, monkeypatch: pytest.MonkeyPatch, shapes: list[dict[str, Any]], label: Any
) -> None:
    lines = []
    for number, shape in enumerate(shapes):
        rows = shape["rows"]
        predicted = label if shape["label"] is ... else shape["label"]
        features = {name: [shape[name]] * rows for name in ("job", "age", "odd")} | {"none": [None] * rows}
        if shape["more"]:
            features["more"] = [1] * rows
        if shape["form"] is list:
            features = [{name: values[row] for name, values in features.items()} for row in range(rows)]
        record = new_record(
            f"r{number}",
            served_at=1_700_000_000.123456 + number / 7,
            model_version=shape["model_version"],
            variant=shape["variant"],
            positions=range(2, 2 + rows),
            predictions=[predicted] * rows,
            scores=None if shape["score"] is None else [shape["score"]] * rows,
            features=features,
            protected=[{"sex": "f", str(number): "2026-01-01"}] * rows,
        )
        lines.append(encode_record(record).rstrip())
    monkeypatch.setattr("monitoring.feature_table._FEW", 1)
    quick, refused = feature_tables_of(lines)
    slow, _ = tables_of_any(lines, monkeypatch)
    assert refused == 0
    assert {version: in_order(table) for version, table in quick.items()} == {
        version: in_order(table) for version, table in slow.items()
    }


def test_rows_without_features_are_left_out_of_usual_lines_too(new_record: Any) -> None:
    lines = [encode_record(new_record(f"r{i}", features=[{"age": 1}] if i else [{}])).rstrip() for i in range(30)]
    assert feature_tables_of(lines)[0]["credit", "1"].num_rows == 29


def in_order(table: pa.Table) -> pa.Table:
    return table.select(sorted(table.column_names)).sort_by(OURS[0]).combine_chunks()


@pytest.mark.parametrize("features", [{"age": [1.5], "job": ["nurse"]}, [{"age": 1.5, "job": "nurse"}]])
def test_the_usual_lines_are_not_read_one_by_one(
    new_record: Any, monkeypatch: pytest.MonkeyPatch, features: Any
) -> None:
    lines = [encode_record(new_record(f"r{i}", features=features, scores=[0.5])).rstrip() for i in range(30)]
    expected, _ = tables_of_any(lines, monkeypatch)
    monkeypatch.setattr("monitoring.feature_table._plain", None)
    assert feature_tables_of(lines)[0] == expected


@pytest.mark.parametrize("place", [0, 61])
def test_a_line_of_another_shape_among_usual_ones_loses_nobody_anything(new_record: Any, place: int) -> None:
    lines = [encode_record(new_record(f"r{i}", features={"age": [1.5]})).rstrip() for i in range(60)]
    lines.append(encode_record(new_record("odd", features={"age": ["x"], "more": [1]})).rstrip())
    torn = b'{"request_id":"torn","served_at":1,"model":"credit","model_version":"1","features":{"age":[1'
    lines.insert(place, torn)
    tables, refused = feature_tables_of(lines)
    assert (tables["credit", "1"].num_rows, refused) == (61, 1)
