"""The tracker: nothing is lost or sent twice, whatever hangs, is away, or dies in between."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.senders import FakeSender
from tests.unit.tracking.conftest import Counts, NewTracker, make_record
from tests.waiting import until
from tracking.delivery import Delivered
from tracking.outbox import Outbox
from tracking.settings import Provider


def test_what_is_submitted_arrives_once_and_is_counted(
    new_tracker: NewTracker, sender: FakeSender, outbox: Outbox, counts: Counts
) -> None:
    told: list[Delivered] = []
    tracker = new_tracker(sender, on_delivered=told.append)
    tracker.start()
    submitted = {tracker.submit(make_record(f"t-{number}")) for number in range(20)}
    until(lambda: not outbox.waiting())
    assert set(sender.runs) == submitted
    assert sorted(sender.attempts) == sorted(sender.runs.values())
    until(lambda: counts == {"delivered": 20})
    assert {one.test_id for one in told} == set(sender.runs.values())
    assert all(one.url == f"http://runs/{one.run_id}" for one in told)


def test_without_a_provider_nothing_is_kept(new_tracker: NewTracker, outbox: Outbox) -> None:
    assert new_tracker().submit(make_record()) is None
    assert outbox.waiting() == []


def test_submitting_waits_for_no_provider_that_hangs(
    new_tracker: NewTracker, sender: FakeSender, outbox: Outbox
) -> None:
    sender.hang.clear()
    tracker = new_tracker(sender)
    tracker.start()
    tracker.submit(make_record("first"))
    until(lambda: sender.attempts)
    began = time.monotonic()
    for number in range(50):
        tracker.submit(make_record(f"t-{number}"))
    assert time.monotonic() - began < 2.0
    sender.hang.set()
    until(lambda: not outbox.waiting())
    assert len(sender.runs) == 51


def test_a_provider_that_was_away_gets_everything_when_it_is_back(
    new_tracker: NewTracker, sender: FakeSender, outbox: Outbox, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    sender.is_away = True
    tracker = new_tracker(sender)
    tracker.start()
    with caplog.at_level(logging.INFO, "tracking"):
        for number in range(3):
            tracker.submit(make_record(f"t-{number}"))
        until(lambda: counts["failed"] > 5)
        assert tracker.status() == {
            "mlflow": {"waiting": 3, "oldest_seconds": pytest.approx(0, abs=30), "problem": "it is away"}
        }
        assert tracker.problems() == {"mlflow": "it is away; results that wait: 3"}
        sender.is_away = False
        until(lambda: not outbox.waiting() and not tracker.problem(Provider.MLFLOW))
    assert sorted(sender.runs.values()) == ["t-0", "t-1", "t-2"]
    assert counts["delivered"] == 3
    assert tracker.problems() == {}
    said = [record.getMessage() for record in caplog.records]
    assert said.count("mlflow: it is away; results are kept and sent later") == 1
    assert "mlflow takes results again" in said


def test_pauses_grow_to_their_limit(new_tracker: NewTracker, sender: FakeSender) -> None:
    sender.is_away = True
    tracker = new_tracker(sender, retry_seconds=0.02, longest_retry_seconds=0.1)
    tracker.start()
    tracker.submit(make_record())
    began = time.monotonic()
    until(lambda: len(sender.attempts) > 5)
    assert time.monotonic() - began > 0.02 + 0.04 + 0.08 + 0.1 + 0.1


def test_one_that_always_fails_lets_the_others_go_before_it(
    new_tracker: NewTracker, sender: FakeSender, outbox: Outbox
) -> None:
    sender.fails = {"poison"}
    tracker = new_tracker(sender)
    tracker.submit(make_record("poison"))
    for number in range(3):
        tracker.submit(make_record(f"t-{number}"))
    tracker.start()
    until(lambda: len(sender.runs) == 3)
    assert len(outbox.waiting()) == 1


def test_a_refused_result_is_set_aside_counted_and_logged(
    new_tracker: NewTracker, sender: FakeSender, outbox: Outbox, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    sender.refuses = {"odd"}
    tracker = new_tracker(sender)
    tracker.start()
    tracker.submit(make_record("odd"))
    tracker.submit(make_record("even"))
    until(lambda: counts == {"refused": 1, "delivered": 1})
    assert list(sender.runs.values()) == ["even"]
    assert len(list(outbox.folder("refused").iterdir())) == 1
    assert "mlflow will not take result" in caplog.text


def test_a_full_outbox_drops_what_is_new_and_says_so(
    tmp_path: Path, new_tracker: NewTracker, sender: FakeSender, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    sender.is_away = True
    outbox = Outbox(tmp_path / "small", max_waiting=2)
    tracker = new_tracker(sender, outbox=outbox)
    assert [tracker.submit(make_record(f"t-{number}")) is not None for number in range(3)] == [True, True, False]
    assert counts["dropped"] == 1
    assert "test t-2 is not logged to mlflow" in caplog.text
    assert "FAIRMIND_TRACKING_MAX_WAITING" in caplog.text


def test_a_disk_that_refuses_drops_what_is_new_and_says_so(
    tmp_path: Path, new_tracker: NewTracker, sender: FakeSender, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    tracker = new_tracker(sender, outbox=Outbox(tmp_path / "file"))
    assert tracker.submit(make_record()) is None
    assert counts["dropped"] == 1
    assert "it cannot be kept (NotADirectoryError)" in caplog.text


def test_one_provider_that_hangs_holds_up_no_other(new_tracker: NewTracker, outbox: Outbox) -> None:
    wandb, mlflow = FakeSender(Provider.WANDB), FakeSender(Provider.MLFLOW)
    wandb.hang.clear()
    tracker = new_tracker(wandb, mlflow)
    tracker.start()
    delivery_id = tracker.submit(make_record())
    until(lambda: mlflow.runs)
    assert wandb.runs == {}
    wandb.hang.set()
    until(lambda: not outbox.waiting())
    assert list(wandb.runs) == list(mlflow.runs) == [delivery_id]


def test_two_trackers_of_one_home_deliver_once(new_tracker: NewTracker, outbox: Outbox) -> None:
    first, second = FakeSender(), FakeSender()
    for sender in (first, second):
        new_tracker(sender).start()
    tracker = new_tracker(FakeSender())  # a third process, which only submits
    for number in range(10):
        tracker.submit(make_record(f"t-{number}"))
    until(lambda: not outbox.waiting())
    assert len(first.attempts) + len(second.attempts) == 10


def test_what_waits_for_a_provider_that_is_no_longer_enabled_is_told(
    new_tracker: NewTracker, sender: FakeSender
) -> None:
    new_tracker(FakeSender(Provider.WANDB), sender).submit(make_record())
    tracker = new_tracker(sender)
    assert "does not name it any more" in tracker.problems()["wandb"]


def test_a_note_that_fails_makes_no_second_run(
    new_tracker: NewTracker, sender: FakeSender, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_delivered: Delivered) -> None:
        raise ConnectionError("password=hunter2")

    tracker = new_tracker(sender, on_delivered=fail)
    tracker.start()
    tracker.submit(make_record())
    until(lambda: not outbox.waiting())
    assert sender.attempts == ["t-1"]
    assert "was not noted down: ConnectionError" in caplog.text
    assert "hunter2" not in caplog.text


SUBMIT = """
import os, signal, sys
from pathlib import Path
from tests.fakes.senders import FakeSender
from tests.unit.tracking.conftest import make_record
from tracking.outbox import Outbox
from tracking.settings import Provider, TrackingSettings
from tracking.tracker import Tracker

tracker = Tracker(TrackingSettings(), Outbox(Path(sys.argv[1])), {Provider.MLFLOW: FakeSender()})
for number in range(1000):
    tracker.submit(make_record(f"t-{number}"))
    print(number, flush=True)
    if number == 20:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_submitted_before_a_kill_is_delivered_once_by_the_next_process(
    new_tracker: NewTracker, sender: FakeSender, outbox: Outbox, tmp_path: Path
) -> None:
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", SUBMIT, str(tmp_path / "tracking")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    new_tracker(sender).start()
    until(lambda: not outbox.waiting())
    expected = sorted(f"t-{number}" for number in range(len(done.stdout.split())))
    assert len(expected) == 21
    assert sorted(sender.attempts) == sorted(sender.runs.values()) == expected


def test_stopping_ends_a_sender_that_hangs_and_keeps_what_it_had(
    new_tracker: NewTracker, sender: FakeSender, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender.hang.clear()
    tracker = new_tracker(sender)
    tracker.start()
    tracker.submit(make_record())
    until(lambda: sender.attempts)

    def close(self: Any = sender) -> None:
        self.is_away = True
        self.hang.set()

    monkeypatch.setattr(sender, "close", close)
    tracker.stop()
    assert len(outbox.waiting()) == 1
