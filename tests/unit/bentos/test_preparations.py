"""Foreign versions on their way to the workers: queued, prepared, told of, and swapped for their compiled form."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bentos.preparations import Located, Preparations
from bentos.version_folders import VersionFolders
from registry.digest import digest_folder
from registry.model_cache import ModelCache
from registry.versions import DIGEST_TAG
from rollout.serving_state import ServedVersion, ServingState
from runners.compiled import CompiledCache
from runners.errors import UntrustedModelError
from runners.preparation import Preparer
from runners.specification import RunnerSpecification
from tests.fakes.registry import FakeRegistry


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class FakePreparer:
    """Writes what a worker would find; `refuses` are the errors of the next calls, each taking `seconds`."""

    def __init__(self, clock: Clock) -> None:
        self.refuses: list[Exception] = []
        self.sources: list[Path] = []
        self.is_trusted, self.clock, self.seconds = True, clock, 0.0

    def is_ready(self, folder: Path) -> bool:
        return Preparer(Path("/nowhere"), "http://theirs", self.is_trusted).is_ready(folder)

    def prepare(self, source: Path, into: Path, tell: Callable[[str], None]) -> Path:
        self.sources.append(source)
        tell("its environment is being made")
        self.clock.now += self.seconds
        if not self.is_trusted:
            raise UntrustedModelError(["a pickle (model.pkl)"], "http://theirs")
        if self.refuses:
            raise self.refuses.pop(0)
        specification = RunnerSpecification(python=Path(sys.executable), model=source, flavour="sklearn")
        (into / "fairmind").mkdir(parents=True)
        (into / "fairmind" / "runner.json").write_text(specification.model_dump_json())
        return into


class Strangers:
    """Version folders over a registry in memory, whose preparations are made by hand."""

    def __init__(self, root: Path) -> None:
        self.root, self.clock = root, Clock()
        self.preparer = FakePreparer(self.clock)
        self.ready = 0
        self.registry = FakeRegistry()
        self.compiled = CompiledCache(root / "compiled")
        self.preparations = Preparations(
            self.preparer, root / "prepared", self.compiled, self._is_ready, clock=self.clock
        )
        self.folders = VersionFolders(ModelCache(root / "models"), self.registry, self.preparations, self.clock)

    def _is_ready(self) -> None:
        self.ready += 1

    def register(self, name: str = "theirs", **files: str) -> Path:
        folder = self.root / "files" / f"{name}-{len(list((self.root).rglob('MLmodel')))}"
        (folder / "fairmind").mkdir(parents=True)
        for path, text in {"MLmodel": "flavors: {}\n", **files}.items():
            (folder / path.replace("__", "/")).write_text(text)
        if not files:
            (folder / "fairmind").rmdir()
        self.registry.register(name, folder)
        return folder

    def look(self, name: str = "theirs", digest: str | None = None) -> ServedVersion:
        """Look as the Companion does, and return what the workers are told of the champion."""
        state = ServingState(model=name, epoch=1, champion=ServedVersion(version="1", digest=digest), salt="s")
        self.folders.obtain([state], ask_registry=True)
        return self.folders.located(state).champion


@pytest.fixture
def strangers(tmp_path: Path) -> Strangers:
    return Strangers(tmp_path)


def test_a_foreign_version_waits_is_prepared_and_is_then_told_to_the_workers(strangers: Strangers) -> None:
    files = strangers.register()
    waiting = strangers.look()
    assert (waiting.folder, waiting.problem) == (None, "it waits for its turn to be prepared")
    strangers.preparations.work()
    assert strangers.ready == 1
    ready = strangers.look()
    assert (ready.problem, ready.digest) == (None, digest_folder(files))
    assert Path(ready.folder or "").is_relative_to(strangers.root / "prepared" / "theirs")
    strangers.look()
    strangers.preparations.work()
    assert len(strangers.preparer.sources) == 1


def test_its_compiled_form_takes_its_place_under_another_name(strangers: Strangers) -> None:
    files = strangers.register()
    strangers.look()
    strangers.preparations.work()
    before = strangers.look()
    made = strangers.root / "made"
    (made / "fairmind").mkdir(parents=True)
    (made / "fairmind" / "signature.json").write_text("{}")
    kept = strangers.compiled.put(digest_folder(files), made)
    after = strangers.look()
    assert after.folder == str(kept)
    assert (Path(kept) / "fairmind" / "signature.json").is_file()
    assert after.digest != before.digest


def test_a_version_that_cannot_be_prepared_says_why_and_is_tried_again_later(strangers: Strangers) -> None:
    strangers.register()
    strangers.preparer.refuses = [UntrustedModelError(["a pickle (model.pkl)"], "http://theirs")]
    strangers.look()
    strangers.preparations.work()
    refused = strangers.look()
    assert refused.folder is None
    assert "a pickle (model.pkl)" in str(refused.problem)
    assert "FAIRMIND_REGISTRY_TRUSTED=http://theirs" in str(refused.problem)
    assert "FAIRMIND_REGISTRY_TRUSTED" in strangers.folders.problems()["theirs/1"]
    strangers.preparations.work()
    assert len(strangers.preparer.sources) == 1
    strangers.clock.now = 61
    strangers.look()
    strangers.preparations.work()
    assert strangers.look().folder is not None


def test_what_was_prepared_while_its_registry_was_trusted_does_not_outlive_the_trust(strangers: Strangers) -> None:
    strangers.register()
    strangers.look()
    strangers.preparations.work()
    assert strangers.look().folder is not None
    strangers.preparer.is_trusted, strangers.clock.now = False, 61
    assert strangers.look().folder is None
    strangers.preparations.work()
    assert "is not trusted to run code" in str(strangers.look().problem)
    strangers.preparer.is_trusted = True
    assert strangers.look().folder is not None


def test_the_pause_before_a_version_is_tried_again_begins_when_the_try_ends(strangers: Strangers) -> None:
    strangers.register()
    strangers.preparer.refuses = [UntrustedModelError(["a pickle (model.pkl)"], "http://theirs")]
    strangers.preparer.seconds = 600.0
    strangers.look()
    strangers.preparations.work()
    strangers.look()
    strangers.preparations.work()
    assert len(strangers.preparer.sources) == 1


def test_a_compiled_form_that_was_damaged_is_as_good_as_none(strangers: Strangers) -> None:
    digest = digest_folder(strangers.register())
    for content in ("{}", "damaged"):
        made = strangers.root / "made"
        (made / "fairmind").mkdir(parents=True)
        (made / "fairmind" / "signature.json").write_text("{}")
        kept = strangers.compiled.put(digest, made)
        (kept / "fairmind" / "signature.json").write_text(content)
        found = CompiledCache(strangers.root / "compiled").find(digest)
        assert found == (kept if content == "{}" else None)
        shutil.rmtree(made, ignore_errors=True)
    (kept.parent / "current").write_text("")
    assert strangers.compiled.find(digest) is None


def test_a_bug_in_a_preparation_is_told_and_stands_in_nobodys_way(strangers: Strangers) -> None:
    strangers.register()
    strangers.register("others")
    strangers.preparer.refuses = [ZeroDivisionError("secret")]
    state = [
        ServingState(model=name, epoch=1, champion=ServedVersion(version="1", digest=None), salt="s")
        for name in ("theirs", "others")
    ]
    strangers.folders.obtain(state, ask_registry=True)
    strangers.preparations.work()
    strangers.folders.obtain(state, ask_registry=True)
    located = [strangers.folders.located(one).champion for one in state]
    assert sorted(one.folder is not None for one in located) == [False, True]
    (problem,) = (one.problem for one in located if one.folder is None)
    assert problem == "ZeroDivisionError; the log says where"


def test_a_version_of_ours_is_loaded_from_its_own_files(strangers: Strangers) -> None:
    files = strangers.register(fairmind__signature="", **{"fairmind__signature.json": "{}"})
    digest = digest_folder(files)
    strangers.registry.set_tag("theirs", "1", DIGEST_TAG, digest)
    told = strangers.look(digest=digest)
    assert (told.digest, told.problem) == (digest, None)
    assert Path(told.folder or "").is_relative_to(strangers.root / "models")
    assert strangers.preparer.sources == []


def test_files_that_bring_their_own_word_on_how_to_be_run_are_not_believed(strangers: Strangers) -> None:
    strangers.register(**{"fairmind__signature.json": "{}", "fairmind__runner.json": '{"python": "/bin/evil"}'})
    assert strangers.look().folder is None
    strangers.preparations.work()
    told = strangers.look()
    assert Path(told.folder or "").is_relative_to(strangers.root / "prepared")
    assert "evil" not in (Path(told.folder or "") / "fairmind" / "runner.json").read_text()


def test_a_prepared_version_whose_environment_was_removed_is_prepared_again(strangers: Strangers) -> None:
    strangers.register()
    strangers.look()
    strangers.preparations.work()
    folder = Path(strangers.look().folder or "")
    text = (folder / "fairmind" / "runner.json").read_text()
    (folder / "fairmind" / "runner.json").write_text(text.replace(sys.executable, "/gone/python"))
    strangers.clock.now = 61
    assert strangers.look().folder is None
    shutil.rmtree(folder)
    strangers.preparations.work()
    assert strangers.look().folder is not None


def test_what_is_no_longer_wanted_is_forgotten(strangers: Strangers) -> None:
    strangers.register()
    strangers.look()
    strangers.folders.obtain([], ask_registry=True)
    strangers.preparations.work()
    assert strangers.preparer.sources == []
    assert strangers.folders.problems() == {}


def test_a_version_that_serves_nobody_is_prepared_when_it_is_asked_for_and_forgotten_later(
    strangers: Strangers,
) -> None:
    strangers.register()
    version = ServedVersion(version="1", digest=None)

    def ask() -> Located:
        found = strangers.folders.obtain_other("theirs", version)
        strangers.folders.obtain([], ask_registry=True)  # as at each poll: nothing is to serve
        return found

    assert ask().problem == "it waits for its turn to be prepared"
    strangers.preparations.work()
    assert ask().folder is not None
    assert strangers.folders.problems() == {}

    strangers.preparer.is_trusted = False
    strangers.clock.now += 61
    ask()
    strangers.preparations.work()
    assert "FAIRMIND_REGISTRY_TRUSTED" in (ask().problem or "")
    strangers.clock.now += 601
    strangers.folders.obtain([], ask_registry=True)
    made = len(strangers.preparer.sources)
    strangers.preparations.work()
    assert len(strangers.preparer.sources) == made


def test_any_other_version_of_ours_needs_no_preparation(strangers: Strangers) -> None:
    strangers.register(**{"fairmind__signature.json": "{}"})
    found = strangers.folders.obtain_other("theirs", ServedVersion(version="1", digest=None))
    assert found.folder is not None
    strangers.preparations.work()
    assert strangers.preparer.sources == []
