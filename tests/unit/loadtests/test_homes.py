import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from loadtests.errors import HomeMissingError
from loadtests.homes import copy_home


def test_a_copy_has_models_and_databases_and_leaves_the_prediction_log_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "models" / "employment" / "1-abc").mkdir(parents=True)
    (home / "predictions.db").write_bytes(b"log")
    with closing(sqlite3.connect(home / "fairmind.db")) as database:
        database.execute("pragma journal_mode=wal")
        database.execute("create table serving_state (model text)")
        database.execute("insert into serving_state values ('employment')")
        database.commit()
        copy = copy_home(home, tmp_path / "copy")  # while the original is open, with its last writes in the WAL
    with closing(sqlite3.connect(copy / "fairmind.db")) as database:
        assert database.execute("select model from serving_state").fetchall() == [("employment",)]
    assert (copy / "models" / "employment" / "1-abc").is_dir()
    assert not (copy / "predictions.db").exists()


def test_a_home_that_serves_nothing_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(HomeMissingError, match="make demo"):
        copy_home(tmp_path, tmp_path / "copy")
