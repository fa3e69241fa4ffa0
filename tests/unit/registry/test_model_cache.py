"""A cached version is whole, is the one that was registered, and needs no registry."""

from __future__ import annotations

import dataclasses
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from registry.digest import digest_folder
from registry.errors import DigestMismatchError, FilesChangedError, RegistryUnavailableError
from registry.model_cache import ModelCache
from registry.reference import Reference
from tests.fakes.registry import FakeRegistry


@pytest.fixture
def fake() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "models")


def test_a_version_is_downloaded_once(fake: FakeRegistry, cache: ModelCache, files: Path, tmp_path: Path) -> None:
    digest = digest_folder(files)
    version = fake.register("credit", files, {"fairmind.digest": digest})
    folder = cache.fetch(fake, version)
    assert folder == tmp_path / "models" / "credit" / f"1-{digest[7:19]}"
    assert cache.fetch(fake, version) == folder
    assert fake.downloads == 1
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_files_changed_after_registration_are_refused_and_not_kept(
    fake: FakeRegistry, cache: ModelCache, files: Path, tmp_path: Path
) -> None:
    version = fake.register("credit", files, {"fairmind.digest": digest_folder(files)})
    (files / "MLmodel").write_text("something else")
    with pytest.raises(DigestMismatchError, match="credit/1"):
        cache.fetch(fake, version)
    assert list((tmp_path / "models" / "credit").iterdir()) == []


def test_the_last_known_good_copy_is_found_while_the_registry_is_away(
    fake: FakeRegistry, cache: ModelCache, files: Path
) -> None:
    version = fake.register("credit", files, {"fairmind.digest": digest_folder(files)})
    folder = cache.fetch(fake, version)
    fake.away = True
    assert cache.fetch(fake, version) == folder
    assert cache.find("credit", "1", version.digest) == folder
    assert cache.find("credit", "1", None) == folder
    assert cache.find("credit", "2", None) is None
    assert cache.find("credit", "1", "sha256:" + "0" * 64) is None
    other = fake.register("credit", files)
    with pytest.raises(RegistryUnavailableError):
        cache.fetch(fake, other)


def test_a_copy_damaged_on_disk_is_fetched_again(fake: FakeRegistry, cache: ModelCache, files: Path) -> None:
    version = fake.register("credit", files, {"fairmind.digest": digest_folder(files)})
    folder = cache.fetch(fake, version)
    (folder / "MLmodel").write_text("damaged")
    assert cache.find("credit", "1", version.digest) is None
    assert cache.find("credit", "1", None) is None
    assert digest_folder(cache.fetch(fake, version)) == version.digest
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_version_without_a_digest_is_kept_under_the_one_it_has(
    fake: FakeRegistry, cache: ModelCache, files: Path
) -> None:
    version = fake.register("foreign", files)
    folder = cache.fetch(fake, version)
    assert folder.name == f"1-{digest_folder(files)[7:19]}"
    assert cache.fetch(fake, version) == folder
    assert fake.downloads == 1


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "été 1"])
def test_no_name_leads_out_of_the_cache(fake: FakeRegistry, cache: ModelCache, files: Path, tmp_path, name) -> None:
    folder = cache.fetch(fake, fake.register(name, files))
    assert folder.resolve().parent.parent == (tmp_path / "models").resolve()


# ---- versions that were registered without a digest ----


def test_changed_files_under_the_same_version_are_told_and_not_taken(tmp_path: Path) -> None:
    registry, cache = FakeRegistry(), ModelCache(tmp_path / "cache")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "MLmodel").write_text("first")
    version = registry.register("credit", theirs)
    first = cache.fetch(registry, version)
    (theirs / "MLmodel").write_text("second")
    assert cache.fetch(registry, version) == first
    shutil.rmtree(first)
    with pytest.raises(FilesChangedError, match="first fetched") as caught:
        cache.fetch(registry, version)
    assert cache.find("credit", "1", None) is None
    record = next((tmp_path / "cache").rglob(".first-*"))
    assert str(record) in str(caught.value)
    record.unlink()
    assert (cache.fetch(registry, version) / "MLmodel").read_text() == "second"


def test_a_number_that_was_given_again_is_another_version(tmp_path: Path) -> None:
    registry, cache = FakeRegistry(), ModelCache(tmp_path / "cache")
    for text in ("first", "second"):
        (tmp_path / text).mkdir()
        (tmp_path / text / "MLmodel").write_text(text)
    cache.fetch(registry, registry.register("credit", tmp_path / "first"))
    again = dataclasses.replace(
        registry.find(Reference("credit", version="1")),
        source=str(tmp_path / "second"),
        created_at=datetime(2030, 1, 1, tzinfo=UTC),
    )
    assert (cache.fetch(registry, again) / "MLmodel").read_text() == "second"
