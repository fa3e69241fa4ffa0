"""The file that workers follow: whole or not at all, and read as it was written."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.serving_state import ServedVersion, ServingFile, ServingState, parse_file, write_file

versions = st.builds(
    ServedVersion,
    version=st.integers(1, 10**6).map(str),
    digest=st.none() | st.text(max_size=20),
    folder=st.none() | st.text(max_size=20),
    problem=st.none() | st.text(max_size=20),
)
states = st.builds(
    ServingState,
    model=st.text(min_size=1, max_size=20),
    epoch=st.integers(1, 2**31),
    champion=versions,
    challenger=st.none() | versions,
    weight_bp=st.integers(0, 5_000),
    salt=st.text(max_size=20),
    rollout_id=st.none() | st.text(max_size=20),
)


def state(epoch: int) -> ServingFile:
    champion = ServedVersion(version="1", digest=None, folder="f" * epoch)
    return ServingFile(
        unit_salt="s", models={"credit": ServingState(model="credit", epoch=epoch, champion=champion, salt="x")}
    )


@given(models=st.dictionaries(st.text(max_size=20), states, max_size=3), salt=st.text(max_size=20))
def test_what_is_written_is_read(
    models: dict[str, ServingState], salt: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "run" / "serving.json"
    content = ServingFile(unit_salt=salt, models=models)
    write_file(path, content)
    assert parse_file(path.read_bytes()) == content


@pytest.mark.parametrize(
    ("changes", "shares"),
    [
        ({}, [("champion", "1", 1.0)]),
        ({"challenger": "2", "weight_bp": 2_000}, [("champion", "1", 0.8), ("challenger", "2", 0.2)]),
        ({"challenger": "2", "shadow_bp": 5_000}, [("champion", "1", 1.0), ("challenger", "2", 0.0)]),
        ({"challenger": "2", "holdback_bp": 500}, [("champion", "1", 0.05), ("challenger", "2", 0.95)]),
        (
            {"challenger": "2", "weight_bp": 1_000, "others": [("3", 2_000), ("4", 500)]},
            [
                ("champion", "1", 0.65),
                ("challenger", "2", 0.1),
                ("challenger-2", "3", 0.2),
                ("challenger-3", "4", 0.05),
            ],
        ),
    ],
)
def test_every_variant_has_its_share_of_the_units(
    changes: dict[str, Any], shares: list[tuple[str, str, float]]
) -> None:
    made = dict(changes)
    if "challenger" in made:
        made["challenger"] = {"version": made["challenger"], "digest": None}
    made["others"] = [{"version": one, "digest": None, "weight_bp": bp} for one, bp in made.get("others", ())]
    champion = {"version": "1", "digest": None}
    found = ServingState.model_validate({"model": "credit", "epoch": 1, "champion": champion, "salt": "x"} | made)
    assert found.shares() == shares


def test_a_damaged_file_is_refused_without_quoting_the_salt_in_it(tmp_path: Path) -> None:
    path = tmp_path / "serving.json"
    write_file(path, state(1).model_copy(update={"unit_salt": "hunter2"}))
    for content in (path.read_bytes()[:-10], b"{}", b"", path.read_bytes().replace(b'"epoch":1', b'"epoch":"x"')):
        with pytest.raises(ValueError, match="ServingFile") as caught:
            parse_file(content)
        assert "hunter2" not in str(caught.value)


def test_the_versions_to_load_are_the_champion_and_its_challenger() -> None:
    alone = state(1).models["credit"]
    challenger = ServedVersion(version="2", digest=None)
    assert alone.versions() == (alone.champion,)
    assert alone.model_copy(update={"challenger": challenger}).versions() == (alone.champion, challenger)


def test_a_reader_never_sees_a_part_of_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "serving.json"
    write_file(path, state(1))
    done = threading.Event()

    def write() -> None:
        for epoch in range(2, 200):
            write_file(path, state(epoch))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = [1]
    while not done.is_set():
        served = parse_file(path.read_bytes()).models["credit"]
        assert served.champion.folder == "f" * served.epoch
        seen.append(served.epoch)
    writer.join()
    assert seen == sorted(seen)
    assert parse_file(path.read_bytes()) == state(199)


def test_each_change_is_a_new_file_and_leaves_no_other_behind(tmp_path: Path) -> None:
    path = tmp_path / "serving.json"
    write_file(path, state(1))
    before = path.stat().st_ino
    write_file(path, state(2))
    assert path.stat().st_ino != before
    assert [found.name for found in tmp_path.iterdir()] == ["serving.json"]
