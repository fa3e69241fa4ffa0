"""Tests that wait: in their order, a bounded number, and through the end of the process."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from assessment import store, task_queue
from assessment.errors import TaskQueueFullError
from assessment.fairmind import findings_of, record_of
from assessment.store import Asked
from assessment.stored import BiasTestState
from tests.unit.assessment.conftest import NOW, made_result

SECOND = timedelta(seconds=1)


def submit(control: Engine, test_id: str, *, limit: int = 4, after: int = 0) -> None:
    body = {"favourable": 1, "name": test_id}
    task_queue.submit(control, test_id, body, "credit", Asked("ada"), limit=limit, now=NOW + after * SECOND)


def test_tasks_are_taken_in_their_order_and_once(control: Engine) -> None:
    for index, name in enumerate(("a", "b")):
        submit(control, name, after=index)
    assert store.find(control, "a").state is BiasTestState.QUEUED
    first, second = task_queue.take(control, NOW), task_queue.take(control, NOW)
    assert first is not None
    assert second is not None
    assert (first.id, first.body, first.asked.user_id) == ("a", {"favourable": 1, "name": "a"}, "ada")
    assert second.id == "b"
    assert task_queue.take(control, NOW) is None
    assert store.find(control, "a").state is BiasTestState.RUNNING


def test_a_queue_that_is_full_says_when_to_come_back_and_a_settled_task_makes_room(control: Engine) -> None:
    submit(control, "a", limit=2)
    submit(control, "b", limit=2)
    assert task_queue.take(control, NOW) is not None  # running ones count too
    with pytest.raises(TaskQueueFullError, match="FAIRMIND_ASSESSMENT_QUEUED_TASKS") as refused:
        submit(control, "c", limit=2)
    assert refused.value.retry_after > 0
    task_queue.fail(control, "a", "because", NOW)
    submit(control, "c", limit=2)


def test_progress_is_told_and_a_result_ends_it(control: Engine) -> None:
    submit(control, "t-1")
    task_queue.take(control, NOW)
    task_queue.touch(control, "t-1", 0.4, NOW + SECOND)
    assert store.find(control, "t-1").progress == 0.4
    result = made_result()
    record = record_of(result)
    task_queue.finish(control, result, record, findings_of(record["results"]), NOW + 2 * SECOND)
    found = store.find(control, "t-1")
    assert (found.state, found.progress, found.verdict, found.finished_at) == (
        BiasTestState.DONE,
        1.0,
        "pass",
        NOW + 2 * SECOND,
    )
    task_queue.fail(control, "t-1", "too late", NOW)  # what is settled stays so
    assert store.find(control, "t-1").state is BiasTestState.DONE


def test_a_task_whose_process_ended_is_begun_again_once(control: Engine) -> None:
    submit(control, "a")
    task_queue.take(control, NOW)
    task_queue.recover(control, untouched_since=NOW, now=NOW)
    again = task_queue.take(control, NOW + SECOND)
    assert again is not None
    assert again.body == {"favourable": 1, "name": "a"}
    task_queue.recover(control, untouched_since=NOW + SECOND, now=NOW + SECOND)
    found = store.find(control, "a")
    assert found.state is BiasTestState.FAILED
    assert found.reason is not None
    assert "begun twice" in found.reason


def test_a_task_that_was_heard_of_is_left_to_whoever_runs_it(control: Engine) -> None:
    submit(control, "a")
    task_queue.take(control, NOW)
    task_queue.touch(control, "a", 0.2, NOW + 10 * SECOND)
    task_queue.recover(control, untouched_since=NOW + 9 * SECOND, now=NOW + 10 * SECOND)
    assert store.find(control, "a").state is BiasTestState.RUNNING
