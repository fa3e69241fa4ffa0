"""The digest of a folder is of its files and of nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from registry.digest import digest_folder


def test_a_copy_has_the_same_digest(files: Path, tmp_path: Path) -> None:
    shutil.copytree(files, tmp_path / "copy")
    assert digest_folder(files) == digest_folder(tmp_path / "copy")
    assert digest_folder(files).startswith("sha256:")


@pytest.mark.parametrize("change", ["content", "name", "added", "removed"])
def test_every_change_of_a_file_changes_the_digest(files: Path, change: str) -> None:
    before = digest_folder(files)
    signature = files / "fairmind" / "signature.json"
    if change == "content":
        signature.write_text("[]")
    elif change == "name":
        signature.rename(signature.with_name("other.json"))
    elif change == "added":
        (files / "empty").touch()
    else:
        signature.unlink()
    assert digest_folder(files) != before


def test_bytes_moved_from_one_file_to_its_neighbour_change_the_digest(tmp_path: Path) -> None:
    for folder, first, second in (("one", "ab", "c"), ("two", "a", "bc")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text(first)
        (tmp_path / folder / "y").write_text(second)
    assert digest_folder(tmp_path / "one") != digest_folder(tmp_path / "two")


@pytest.mark.parametrize("path", ["registered_model_meta", ".DS_Store", ".cache/x", "fairmind/gates.json"])
def test_what_is_not_the_model_is_not_in_its_digest(files: Path, path: str) -> None:
    before = digest_folder(files)
    (files / path).parent.mkdir(exist_ok=True)
    (files / path).write_text("anything")
    assert digest_folder(files) == before
