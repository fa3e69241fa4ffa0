"""The Companion: the state file is written and renewed, versions arrive, and what is away stops nothing else."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bentos.companion import Companion
from database.engine import reading
from monitoring.metrics import LOG_ROWS
from monitoring.predictions import SegmentWriter
from monitoring.tables import PREDICTION
from registry.digest import digest_folder
from registry.versions import DIGEST_TAG
from rollout import rollouts
from rollout.plan import Plan
from rollout.serving_state import ServingFile, ServingState, parse_file
from rollout.serving_store import serving_states, write_state
from tests.fakes.records import prediction_record
from tests.fakes.registry import FakeRegistry
from tests.fakes.strangers import pipeline_with_text, save
from tests.waiting import until

PLAN = Plan.parse({"model": "credit", "steps": [{"weight": 0.2}]})


def written(companion: Companion) -> ServingFile | None:
    try:
        return parse_file(companion.home.serving_state.read_bytes())
    except FileNotFoundError:
        return None


def served(companion: Companion, model: str = "credit") -> ServingState | None:
    content = written(companion)
    return None if content is None else content.models.get(model)


def is_served(companion: Companion, version: str, model: str = "credit") -> bool:
    state = served(companion, model)
    return state is not None and state.champion.version == version and state.champion.folder is not None


@pytest.fixture
def running(companion: Companion) -> Companion:
    companion.start()
    until(lambda: is_served(companion, "1"))
    return companion


def spool(companion: Companion, request_id: str, served_at: float = 1.0) -> None:
    segment = SegmentWriter(companion.home.spool, segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.append([prediction_record(request_id, served_at=served_at)])
    segment.close()


def shipped(companion: Companion) -> set[str]:
    with reading(companion.log) as connection:
        return set(connection.execute(select(PREDICTION.c.prediction_id)).scalars())


def test_further_challengers_get_folders_too(companion: Companion) -> None:
    others = [{"version": "3", "digest": None, "weight_bp": 500}]
    with companion.control.begin() as connection:
        values = {"champion_version": "1", "challenger_version": "2", "weight_bp": 500, "others": others}
        write_state(connection, "credit", datetime.now(UTC), **values)
    companion.folders.obtain(serving_states(companion.control).values(), ask_registry=True)
    state = companion.folders.located(serving_states(companion.control)["credit"])
    assert [Path(str(version.folder)).is_dir() for version in state.versions()] == [True] * 3
    assert [(other.version, other.weight_bp) for other in state.others] == [("3", 500)]


def test_the_state_names_folders_that_hold_the_very_files_registered(
    running: Companion, credit: Any, credit_challenger: Any
) -> None:
    until(lambda: (state := served(running)) and state.challenger and state.challenger.folder)
    state = served(running)
    assert state is not None
    assert state.challenger is not None
    for version, model in ((state.champion, credit), (state.challenger, credit_challenger)):
        assert version.digest == digest_folder(model.folder)
        assert version.folder is not None
        assert digest_folder(Path(version.folder)) == version.digest
        assert Path(version.folder).is_relative_to(running.home.models)
    assert running.problems == {}


def test_an_alias_moved_elsewhere_is_followed_by_the_poll(running: Companion, registry: FakeRegistry) -> None:
    registry.set_alias("credit", "champion", "2")
    until(lambda: is_served(running, "2"))
    state = served(running)
    assert state is not None
    assert (state.epoch, state.challenger) == (2, None)


def test_a_move_that_was_announced_does_not_wait_for_the_poll(
    new_companion: Callable[..., Companion], registry: FakeRegistry
) -> None:
    companion = new_companion(poll_seconds=300)
    companion.start()
    until(lambda: is_served(companion, "1"))
    registry.set_alias("credit", "champion", "2")
    companion.aliases_moved()
    until(lambda: is_served(companion, "2"))


def test_a_rollout_reaches_the_workers_file_and_its_versions_are_fetched_at_once(
    new_companion: Callable[..., Companion], registry: FakeRegistry
) -> None:
    companion = new_companion(poll_seconds=300)
    registry.delete_alias("credit", "challenger")
    companion.start()
    until(lambda: is_served(companion, "1"))
    plan = PLAN.model_copy(update={"challenger": "3"})
    rollout = rollouts.start(
        companion.control, plan, registry, actor="ada", now=datetime.now(UTC), override="a pilot"
    )
    until(lambda: (state := served(companion)) and state.challenger and state.challenger.folder)
    state = served(companion)
    assert state is not None
    assert (state.weight_bp, state.rollout_id) == (2_000, rollout.id)


def test_the_heartbeat_renews_the_file_without_writing_it_again(running: Companion) -> None:
    path = running.home.serving_state
    until(lambda: running._written == written(running))
    time.sleep(0.6)
    before = path.stat()
    os.utime(path, (before.st_atime, before.st_mtime - 60))
    until(lambda: time.time() - path.stat().st_mtime < 5)
    assert path.stat().st_ino == before.st_ino


def test_a_state_file_that_was_removed_is_written_again(running: Companion) -> None:
    running.home.serving_state.unlink()
    until(lambda: is_served(running, "1"))
    until(lambda: running.problems == {})


def test_a_stopped_companion_renews_nothing(running: Companion) -> None:
    running.stop()
    before = running.home.serving_state.stat().st_mtime_ns
    time.sleep(0.6)
    assert running.home.serving_state.stat().st_mtime_ns == before


def test_a_registry_that_is_away_is_reported_and_what_is_served_and_shipped_goes_on(
    running: Companion, registry: FakeRegistry
) -> None:
    until(lambda: (state := served(running)) and state.challenger and state.challenger.folder)
    before = written(running)
    registry.away = True
    until(lambda: "registry" in running.problems)
    assert "cannot be reached" in running.problems["registry"]
    spool(running, "while-away")
    until(lambda: "while-away-0" in shipped(running))
    os.utime(running.home.serving_state, (0, 0))
    until(lambda: running.home.serving_state.stat().st_mtime > 0)
    assert written(running) == before
    assert set(running.problems) == {"registry"}
    registry.away = False
    until(lambda: running.problems == {})


def test_a_restart_without_the_registry_serves_the_last_known_good_copies(
    running: Companion, new_companion: Callable[..., Companion], registry: FakeRegistry
) -> None:
    running.stop()
    running.home.serving_state.unlink()
    registry.away = True
    again = new_companion()
    again.start()
    until(lambda: is_served(again, "1"))


def test_a_copy_damaged_on_disk_is_fetched_again_by_the_next_companion(
    running: Companion, new_companion: Callable[..., Companion]
) -> None:
    state = served(running)
    assert state is not None
    assert state.champion.folder is not None
    running.stop()
    damaged = Path(state.champion.folder) / "fairmind" / "signature.json"
    damaged.write_text("{}")
    new_companion().start()
    until(lambda: damaged.exists() and damaged.read_text() != "{}")


def test_a_copy_removed_from_disk_is_fetched_again(running: Companion) -> None:
    state = served(running)
    assert state is not None
    assert state.champion.folder is not None
    shutil.rmtree(state.champion.folder)
    until((Path(state.champion.folder) / "fairmind" / "signature.json").exists)
    until(lambda: is_served(running, "1"))


def test_files_that_are_not_those_registered_are_told_and_not_fetched_again_and_again(
    new_companion: Callable[..., Companion], registry: FakeRegistry, credit: Any
) -> None:
    registry.register("credit", credit.folder, {DIGEST_TAG: "sha256:" + "0" * 64})
    registry.set_alias("credit", "champion", "4")
    registry.delete_alias("credit", "challenger")
    companion = new_companion()
    companion.start()
    until(lambda: "versions" in companion.problems)
    assert "changed after registration" in companion.problems["versions"]
    until(lambda: (state := served(companion)) and state.champion.problem)
    time.sleep(1.0)
    assert registry.downloads == 1
    state = served(companion)
    assert state is not None
    assert (state.champion.folder, "changed after" in str(state.champion.problem)) == (None, True)


def test_a_version_that_cannot_be_fetched_keeps_no_other_from_arriving(
    companion: Companion, registry: FakeRegistry, credit: Any
) -> None:
    for name in ("a-broken", "z-whole"):
        digest = "sha256:" + "0" * 64 if name == "a-broken" else digest_folder(credit.folder)
        registry.register(name, credit.folder, {DIGEST_TAG: digest})
        registry.set_alias(name, "champion", "1")
    companion.start()
    until(lambda: is_served(companion, "1", "z-whole") and is_served(companion, "1"))
    until(lambda: "a-broken/1" in companion.problems.get("versions", ""))


def test_a_database_that_is_away_keeps_the_log_in_the_spool(
    running: Companion, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise OSError("no space left")

    monkeypatch.setattr(running._shipper, "ship", refuse)
    spool(running, "kept")
    until(lambda: "shipper" in running.problems)
    assert "OSError" in running.problems["shipper"]
    assert shipped(running) == set()
    monkeypatch.undo()
    until(lambda: shipped(running) == {"kept-0"})
    until(lambda: running.problems == {})


def test_the_lag_tells_how_long_the_oldest_prediction_has_been_waiting(
    running: Companion, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert running.log_lag_seconds() == 0

    def refuse() -> None:
        raise OSError("the database is away")

    monkeypatch.setattr(running._shipper, "ship", refuse)
    spool(running, "waiting", served_at=time.time() - 30)
    assert running.log_lag_seconds() == pytest.approx(30, abs=5)
    monkeypatch.undo()
    until(lambda: running.log_lag_seconds() == 0)


def test_what_was_spooled_before_the_stop_is_shipped_by_it(companion: Companion) -> None:
    companion.settings.monitoring.ship_seconds = 300
    companion.start()
    until(lambda: is_served(companion, "1"))
    spool(companion, "last")
    companion.stop()
    assert shipped(companion) == {"last-0"}
    assert companion.metrics.value(LOG_ROWS, "written") == 1


def test_two_companions_on_one_home_take_turns(
    running: Companion, new_companion: Callable[..., Companion], registry: FakeRegistry
) -> None:
    second = new_companion()
    second.start()
    time.sleep(0.3)
    assert second._written is None
    running.stop()
    until(lambda: second._written is not None)
    registry.set_alias("credit", "champion", "2")
    until(lambda: is_served(second, "2"))


def test_the_salt_of_units_outlives_a_restart(running: Companion, new_companion: Callable[..., Companion]) -> None:
    content = written(running)
    assert content is not None
    running.stop()
    running.home.serving_state.unlink()
    again = new_companion()
    again.start()
    until(lambda: written(again) is not None)
    restarted = written(again)
    assert restarted is not None
    assert restarted.unit_salt == content.unit_salt
    assert serving_states(again.control)["credit"].epoch == 1


# ---- what is named, and what is foreign ----


def test_only_models_that_are_named_are_served_and_names_of_nothing_are_told(
    new_companion: Callable[..., Companion], registry: FakeRegistry, credit: Any
) -> None:
    registry.register("other", credit.folder, {DIGEST_TAG: digest_folder(credit.folder)})
    registry.set_alias("other", "champion", "1")
    companion = new_companion(models="credit/2,nobody")
    companion.start()
    until(lambda: is_served(companion, "2"))
    content = written(companion)
    assert content is not None
    assert set(content.models) == {"credit"}
    assert "no model version 'nobody'" in content.problems["nobody"]
    assert "nobody" in companion.problems["models"]


def test_a_foreign_version_of_a_registry_that_is_not_trusted_says_what_it_holds_and_how_to_allow_it(
    new_companion: Callable[..., Companion], registry: FakeRegistry, tmp_path: Path
) -> None:
    save(pipeline_with_text(), tmp_path / "theirs")
    registry.register("theirs", tmp_path / "theirs")
    companion = new_companion(models="theirs,credit", tracking_uri="http://ada:secret@mlflow.example:5000/")
    companion.start()
    until(lambda: (state := served(companion, "theirs")) and "pickle" in str(state.champion.problem))
    state = served(companion, "theirs")
    assert state is not None
    assert "it holds a pickle (model.pkl)" in str(state.champion.problem)
    assert "FAIRMIND_REGISTRY_TRUSTED=http://mlflow.example:5000" in str(state.champion.problem)
    assert "secret" not in str(state.champion.problem)
    until(lambda: is_served(companion, "1"))


def test_what_was_being_fetched_when_a_companion_was_killed_is_gone_once_the_next_one_works(
    companion: Companion,
) -> None:
    homes = companion.home.models / "credit", companion.home.prepared / "theirs", companion.home.compiled / "abc"
    left = [home / ".incoming-0123456789abcdef" for home in homes]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "model.pkl").write_bytes(b"half of it")
        os.utime(folder, (time.time() - 3600,) * 2)
    companion.start()
    until(lambda: is_served(companion, "1"))
    assert not any(folder.exists() for folder in left)


def test_it_gives_way_once_and_not_before_the_workers_know_what_to_serve(
    new_companion: Callable[..., Companion],
) -> None:
    known: list[bool] = []
    companion = new_companion(give_way=lambda: known.append(companion.home.serving_state.exists()))
    companion.start()
    until(lambda: known)
    second: list[bool] = []
    new_companion(give_way=lambda: second.append(True)).start()
    until(lambda: second)  # another sees to what is served
    assert known == [True]
