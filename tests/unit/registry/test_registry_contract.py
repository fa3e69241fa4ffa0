"""What every registry does: the same tests run against the fake and against MLflow."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest

from registry.digest import digest_folder
from registry.errors import InvalidReferenceError, ModelNotFoundError, ReadOnlyRegistryError
from registry.reference import Reference
from registry.registry import Registry
from registry.training_run import TrainingRun
from tests.fakes.registry import FakeRegistry


def test_a_version_is_found_by_number_and_by_alias(registry: Registry, register, name, files) -> None:
    first = register(name, files, {"fairmind.digest": "sha256:abc"})
    registry.set_alias(name, "champion", first.version)
    by_number = registry.find(Reference.parse(f"{name}/1"))
    by_alias = registry.find(Reference.parse(name))
    assert by_number == by_alias
    assert (by_number.name, by_number.version, by_number.digest) == (name, "1", "sha256:abc")
    assert by_number.aliases == {"champion"}
    assert by_number.created_at.tzinfo is UTC


@pytest.mark.parametrize("wanted", ["{}/9", "{}@challenger", "{}-unknown/1", "{}-unknown@champion"])
def test_what_is_not_there_is_not_found_and_named(registry: Registry, register, name, files, wanted) -> None:
    register(name, files)
    reference = Reference.parse(wanted.format(name))
    with pytest.raises(ModelNotFoundError, match=str(reference)):
        registry.find(reference)


def test_versions_come_newest_first_with_their_aliases(registry: Registry, register, name, files) -> None:
    for _ in range(11):
        register(name, files)
    registry.set_alias(name, "champion", "10")
    registry.set_alias(name, "challenger", "10")
    versions = registry.versions(name)
    assert [version.version for version in versions] == [str(number) for number in range(11, 0, -1)]
    assert [version.aliases for version in versions[:3]] == [set(), {"champion", "challenger"}, set()]


def test_the_versions_of_an_unknown_model_are_not_found(registry: Registry) -> None:
    with pytest.raises(ModelNotFoundError):
        registry.versions("nobody-made-this")


def test_an_alias_leaves_the_version_it_pointed_at(registry: Registry, register, name, files) -> None:
    register(name, files)
    register(name, files)
    registry.set_alias(name, "champion", "1")
    registry.set_alias(name, "champion", "2")
    assert registry.find(Reference(name, version="1")).aliases == set()
    assert registry.find(Reference(name, alias="champion")).version == "2"


def test_a_deleted_alias_is_gone_and_may_be_deleted_again(registry: Registry, register, name, files) -> None:
    register(name, files)
    registry.set_alias(name, "champion", "1")
    registry.delete_alias(name, "champion")
    registry.delete_alias(name, "champion")
    with pytest.raises(ModelNotFoundError):
        registry.find(Reference(name, alias="champion"))


def test_an_alias_cannot_point_at_nothing_nor_be_written_badly(registry: Registry, register, name, files) -> None:
    register(name, files)
    with pytest.raises(ModelNotFoundError):
        registry.set_alias(name, "champion", "7")
    with pytest.raises(InvalidReferenceError):
        registry.set_alias(name, "two words", "1")
    with pytest.raises(ModelNotFoundError):
        registry.delete_alias(f"{name}-unknown", "champion")


def test_every_aliased_version_is_listed_once_and_follows_its_aliases(
    registry: Registry, register, name, files
) -> None:
    for _ in range(3):
        register(name, files, {"fairmind.digest": "sha256:abc"})
    register(f"{name}-other", files)

    def listed() -> dict[str, frozenset[str]]:
        return {str(v): v.aliases for v in registry.aliased() if v.name.startswith(name)}

    assert listed() == {}
    registry.set_alias(name, "champion", "1")
    registry.set_alias(name, "challenger", "2")
    registry.set_alias(f"{name}-other", "champion", "1")
    assert listed() == {f"{name}/1": {"champion"}, f"{name}/2": {"challenger"}, f"{name}-other/1": {"champion"}}
    registry.set_alias(name, "champion", "2")
    assert listed() == {f"{name}/2": {"champion", "challenger"}, f"{name}-other/1": {"champion"}}


def test_a_tag_is_set_and_replaced(registry: Registry, register, name, files) -> None:
    register(name, files, {"kept": "yes"})
    registry.set_tag(name, "1", "note", "old")
    registry.set_tag(name, "1", "note", "new")
    assert registry.find(Reference(name, version="1")).tags == {"kept": "yes", "note": "new"}
    with pytest.raises(ModelNotFoundError):
        registry.set_tag(name, "7", "note", "new")


def test_a_download_has_the_files_that_were_registered(
    registry: Registry, register, name, files, tmp_path: Path
) -> None:
    version = register(name, files)
    target = tmp_path / "new" / "copy"
    registry.download(version, target)
    assert digest_folder(target) == digest_folder(files)
    assert (target / "fairmind" / "signature.json").read_text() == "{}"


def test_names_are_sorted(registry: Registry, register, name, files) -> None:
    register(f"{name}-b", files)
    register(f"{name}-a", files)
    assert [n for n in registry.names() if n.startswith(f"{name}-")] == [f"{name}-a", f"{name}-b"]


def test_files_added_to_a_version_arrive_with_its_own(
    registry: Registry, register, name, files, tmp_path: Path
) -> None:
    version = register(name, files)
    more = tmp_path / "more"
    more.mkdir()
    (more / "proof.json").write_text("{}")
    registry.add_files(version, more, "fairmind")
    registry.download(version, tmp_path / "copy")
    assert {path.name for path in (tmp_path / "copy" / "fairmind").iterdir()} == {"proof.json", "signature.json"}
    assert (tmp_path / "copy" / "MLmodel").is_file()


def test_a_registry_that_takes_no_files_says_so(registry: Registry, register, name, files, tmp_path: Path) -> None:
    version = register(name, files)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "proof.json").write_text("{}")
    if isinstance(registry, FakeRegistry):
        registry.read_only = True
    else:
        (files / "taken").write_text("a file stands where the folder would be")
    with pytest.raises(ReadOnlyRegistryError, match="takes nothing from here"):
        registry.add_files(version, tmp_path / "more", "taken")


def test_files_are_registered_as_the_newest_version_of_a_model_that_need_not_be_there(
    registry: Registry, name, files, tmp_path
) -> None:
    first = registry.register(name, files, {"fairmind.remote": "http://there"})
    second = registry.register(name, files, {})
    assert (first.version, second.version) == ("1", "2")
    assert first.tags["fairmind.remote"] == "http://there"
    registry.download(second, tmp_path / "there")
    assert digest_folder(tmp_path / "there") == digest_folder(files)


def test_the_run_of_a_version_tells_parameters_commits_and_data(registry: Registry) -> None:
    params, tags, data = {"C": "1.0"}, {"fairmind.code": "abc"}, {"census": "1293e6"}
    if isinstance(registry, FakeRegistry):
        run_id = "run-1"
        registry.runs[run_id] = TrainingRun(run_id, params, tags, data)
    else:
        from mlflow.entities import Dataset, DatasetInput

        client = registry._client
        run_id = client.create_run("0", tags=tags).info.run_id
        client.log_param(run_id, "C", 1.0)
        client.log_inputs(run_id, [DatasetInput(Dataset("census", "1293e6", "local", "{}"))])
    found = registry.run(run_id)
    assert found is not None
    assert (found.run_id, found.params, found.data) == (run_id, params, data)
    assert found.tags["fairmind.code"] == "abc"
    assert registry.run("0" * 32) is None
