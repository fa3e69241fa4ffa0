"""A logged decision is made again bit for bit, or what stands in the way is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from monitoring.errors import PredictionNotFoundError
from monitoring.outcomes import Outcome, keep
from monitoring.predictions import BULK_ROWS
from monitoring.tables import PREDICTION
from registry.digest import digest_folder
from replay.exact_version import Registered
from rollout.tables import ROLLOUT, ROLLOUT_EPOCH
from tests.unit.replay.deployment import LINEAR, THRESHOLD, TREES, Deployment, people

NOW = datetime(2026, 9, 21, tzinfo=UTC)
ROW: dict[str, Any] = {"age": 51.3, "amount": 2500, "job": "smith"}


def test_decisions_of_three_versions_are_the_same_without_the_registry(deployment: Deployment) -> None:
    rows = people(12, seed=5).to_dict("records")
    ids = [
        name
        for number in (LINEAR, TREES, THRESHOLD)
        for name in deployment.answer(number, f"r{number}", [{str(key): row[key] for key in row} for row in rows])
    ]
    deployment.settle()
    deployment.keep_copies()
    deployment.registry.away = True
    made = [deployment.reproduce(name) for name in ids]
    assert [one.same for one in made] == [True] * 36
    assert [one.threshold for one in made[::12]] == [None, None, 0.4]
    assert {one.version.registered for one in made} == {Registered.NOT_KNOWN}


def test_the_lineage_is_the_versions_own(deployment: Deployment) -> None:
    (name,) = deployment.answer(TREES, "r", [ROW], unit_hashes=["u"], cohorts=["challenger"], variant="challenger")
    deployment.settle()
    keep(deployment.log, [Outcome(prediction_id=name, outcome=0)], NOW)
    made = deployment.reproduce(name)
    assert made.same
    assert (made.logged.has_unit, made.logged.cohort, made.logged.variant) == (True, "challenger", "challenger")
    assert "u" not in made.model_dump_json().split('"')
    lineage = made.lineage
    assert (lineage.run_id, lineage.data, lineage.parameters) == ("run-2", "sha256:rows", {"C": "1.0"})
    assert lineage.code == {"project": "abc", "fairmind": "def"}
    assert lineage.environment.libraries == ("scikit-learn==1.9.1", "numpy==2.4.6")
    assert (lineage.environment.python, lineage.unknown) == ("3.11.7", "")
    assert (made.outcome, made.version.registered) == (0, Registered.HERE)


def test_without_the_registry_the_files_still_name_run_and_libraries(deployment: Deployment) -> None:
    (name,) = deployment.answer(LINEAR, "r", [ROW])
    deployment.settle()
    deployment.keep_copies()
    deployment.registry.away = True
    lineage = deployment.reproduce(name).lineage
    assert (lineage.run_id, lineage.data) == ("run-1", None)
    assert lineage.environment.libraries
    assert "registry is away" in lineage.unknown


def test_a_row_that_is_not_shipped_is_read_from_the_spool(deployment: Deployment) -> None:
    deployment.answer(LINEAR, "other", [ROW])
    name = deployment.answer(LINEAR, "r", [ROW, ROW | {"age": 20.0}])[1]
    made = deployment.reproduce(name)
    assert (made.same, made.logged.is_shipped) == (True, False)
    deployment.ship()  # and its features wait for their file
    made = deployment.reproduce(name)
    assert (made.same, made.logged.is_shipped) == (True, True)


def test_a_row_of_a_large_request_is_found_in_its_block(deployment: Deployment) -> None:
    rows = [{str(key): row[key] for key in row} for row in people(BULK_ROWS + 5, seed=8).to_dict("records")]
    deployment.answer(LINEAR, "r", rows, epoch=7, protocol="v2")
    deployment.settle()
    made = deployment.reproduce(f"r-{BULK_ROWS + 2}")
    assert made.same
    assert (made.logged.epoch, made.logged.protocol) == (7, "v2")


def test_numbers_without_digits_and_strings_nobody_knows_are_made_again(deployment: Deployment) -> None:
    strange = [
        {"age": -0.0, "amount": 5e-324, "job": "nurse"},
        {"age": 0.1 + 0.2, "amount": 1e150, "job": "clerk"},
        {"age": 2**60, "amount": -1.7976931348623157e100, "job": "smith"},
    ]
    ids = deployment.answer(LINEAR, "r", strange)
    deployment.settle()
    assert [deployment.reproduce(name).same for name in ids] == [True] * 3


def test_what_was_changed_in_the_log_is_shown_field_by_field(deployment: Deployment) -> None:
    (name,) = deployment.answer(LINEAR, "r", [ROW])
    deployment.settle()
    with deployment.log.begin() as connection:
        connection.execute(update(PREDICTION).values(score=0.25, prediction=0))
    made = deployment.reproduce(name)
    assert made.same is False
    assert [(one.field, one.logged) for one in made.differences] == [("prediction", 0), ("score", 0.25)]
    assert "the log was changed" in made.reason


def test_a_digit_at_the_end_is_put_down_to_libraries(deployment: Deployment) -> None:
    (name,) = deployment.answer(LINEAR, "r", [ROW])
    deployment.settle()
    score = deployment.reproduce(name).logged.score
    assert score is not None
    with deployment.log.begin() as connection:
        connection.execute(update(PREDICTION).values(score=score * (1 + 1e-15)))
    made = deployment.reproduce(name)
    assert (made.same, [one.field for one in made.differences]) == (False, ["score"])
    assert "last digits" in made.reason


def test_features_that_are_not_kept_are_said_to_be(deployment: Deployment) -> None:
    (none,) = deployment.answer(LINEAR, "none", [ROW], features=[])
    (redacted,) = deployment.answer(LINEAR, "some", [ROW], features=[{"age": 51.3, "amount": 2500}])
    deployment.settle()
    made = deployment.reproduce(none)
    assert (made.same, made.recomputed) == (None, None)
    assert "not in the log" in made.reason
    assert "'job'" in deployment.reproduce(redacted).reason


def test_a_deleted_version_is_named_with_all_that_is_known(deployment: Deployment) -> None:
    (name,) = deployment.answer(LINEAR, "r", [ROW])
    deployment.settle()
    deployment.registry.delete("credit", LINEAR)
    made = deployment.reproduce(name)
    assert (made.same, made.version.registered) == (None, Registered.DELETED)
    assert "credit/1" in made.reason
    assert "2026-09-21 14:13:20 UTC, was deleted from the registry" in made.reason
    assert "\n" not in made.reason


def test_a_deleted_version_whose_copy_is_here_is_made_again(deployment: Deployment) -> None:
    (name,) = deployment.answer(LINEAR, "r", [ROW])
    deployment.settle()
    deployment.keep_copies()
    deployment.registry.delete("credit", LINEAR)
    made = deployment.reproduce(name)
    assert (made.same, made.version.registered) == (True, Registered.DELETED)
    assert made.version.digest is not None


def test_a_copy_that_was_changed_is_refused_by_its_digest_and_fetched_again(deployment: Deployment) -> None:
    (name,) = deployment.answer(LINEAR, "r", [ROW])
    deployment.settle()
    deployment.keep_copies()
    for decision in (deployment.root / "models").glob("credit/1-*/fairmind/decision.json"):
        decision.write_text('{"threshold": 0.99}')
    deployment.registry.away = True
    made = deployment.reproduce(name)
    assert made.same is None
    assert "was changed and is not used" in made.reason
    deployment.registry.away = False
    made = deployment.reproduce(name)
    assert (made.same, made.threshold) == (True, None)


def test_a_number_that_was_given_again_is_not_taken_for_the_version_that_answered(deployment: Deployment) -> None:
    (name,) = deployment.answer(LINEAR, "r", [ROW])
    deployment.settle()
    deployment.registry.wait_until(datetime.fromtimestamp(1_790_000_000, UTC) + timedelta(hours=1))
    deployment.forget_versions()
    deployment.register(deployment.folders[TREES], "run-9")
    made = deployment.reproduce(name)
    assert (made.same, made.version.registered) == (None, Registered.GIVEN_AGAIN)
    assert "its number given to another version" in made.reason


def test_two_copies_under_one_number_are_not_guessed_between(deployment: Deployment) -> None:
    (name,) = deployment.answer(LINEAR, "r", [ROW])
    deployment.settle()
    deployment.keep_copies()
    deployment.forget_versions()
    deployment.cache.fetch(deployment.registry, deployment.register(deployment.folders[TREES], "run-9"))
    deployment.registry.away = True
    assert "several versions had the number credit/1" in deployment.reproduce(name).reason
    deployment.serve(LINEAR, digest_folder(deployment.folders[TREES]))  # what serves now need not have served then
    assert "several versions had the number credit/1" in deployment.reproduce(name).reason


def test_what_serves_names_the_digest_of_a_version_that_is_gone(deployment: Deployment) -> None:
    (name,) = deployment.answer(LINEAR, "r", [ROW])
    deployment.settle()
    digest = digest_folder(deployment.folders[LINEAR])
    deployment.serve(LINEAR, digest)
    deployment.registry.delete("credit", LINEAR)
    assert f"credit/1 ({digest[:19]}…), which answered at" in deployment.reproduce(name).reason


def test_the_rollout_is_shown_as_it_was_then(deployment: Deployment) -> None:
    (name,) = deployment.answer(TREES, "r", [ROW], rollout_id="r-1", epoch=4)
    (other,) = deployment.answer(TREES, "s", [ROW], rollout_id="r-0")
    deployment.settle()
    rollout = {
        "id": "r-1",
        "model": "credit",
        "state": "promoted",
        "version": 3,
        "champion_version": "1",
        "challenger_version": "2",
        "weight_bp": 0,
        "salt": "s",
        "plan": {"steps": [{"weight": 0.2}]},
        "created_by": "ada",
        "created_at": NOW,
    }
    epoch = {"rollout_id": "r-1", "epoch": 4, "step_index": 1, "state": "canary", "weight_bp": 2_000, "at": NOW}
    with deployment.control.begin() as connection:
        connection.execute(insert(ROLLOUT), rollout)
        connection.execute(insert(ROLLOUT_EPOCH), epoch)
    part = deployment.reproduce(name).rollout
    assert part is not None
    assert (part.state, part.step, part.weight, part.state_now) == ("canary", 1, 0.2, "promoted")
    unknown = deployment.reproduce(other)
    assert (unknown.rollout, unknown.rollout_id) == (None, "r-0")


def test_an_id_that_nobody_gave_is_not_found(deployment: Deployment) -> None:
    with pytest.raises(PredictionNotFoundError, match="no prediction 'r-9' in the log"):
        deployment.reproduce("r-9")
