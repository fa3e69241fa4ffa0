"""Guarded rollouts on real people: what is good is promoted by itself, what harms is stopped by what should.

The champion is a logistic regression on the census. Its challengers: boosted trees, which are better; boosted trees
that learned from unfair labels, by which every third employed woman is not (as accurate as the champion, and 10
points less of the women are selected, compared with the men); a model of adults of working age in three household
roles, which refuses everybody else; and the champion's twin with a step that takes its time.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from registry.store import embedded_tracking_uri
from rollout.assignment import Cohort, cohort, hash_unit
from rollout.serving_state import parse_file
from tests.e2e.people import (
    CANARY,
    EVAL_SECONDS,
    PER_REQUEST,
    People,
    Watched,
    champion,
    later_people,
    plan,
    reference_people,
    start,
    unfairly_labelled,
)
from tests.fakes.strangers import Stranger, log
from tests.waiting import until

pytestmark = pytest.mark.long

MODEL = "people"
GOOD, UNFAIR, NARROW, SLOW = "2", "3", "4", "5"
REPLAYED = 4_000
ROLLBACK_SECONDS = 5.0
"""The longest, beside the time between looks, from a violation to the challenger's last answer on any worker."""
SLOW_SECONDS = 0.6
"""As far from what a request takes on a busy machine, as the limit it breaks, as a proof of minutes allows."""

CONFIG = """\
name: people
source: {{kind: file, path: {table}.parquet}}
label: employed
favourable: 1
protected: [SEX]
protected_as_features: true
unknown_categories: {unknown}
estimators:
{estimators}
"""
LOGISTIC = "{kind: logistic_regression, params: {max_iter: 1000}}"
CONFIGS = (
    ("people", "ignore", f"  champion: {LOGISTIC}\n  good: {{kind: gradient_boosting}}"),
    ("unfair", "ignore", "  unfair: {kind: gradient_boosting}"),
    ("narrow", "error", f"  narrow: {LOGISTIC}"),
)

STEPS: list[dict[str, Any]] = [
    {"mode": "shadow", "sample": 0.5, "min_units": 300},
    {"weight": 0.1, "min_units": 300},
    {"weight": 0.5, "min_units": 500, "advance_when": "all_passed"},
    {"mode": "soak"},
]


def take_time(rows: Any) -> Any:
    """Do nothing, slowly."""
    time.sleep(SLOW_SECONDS)
    return rows


def slow_twin(table: pd.DataFrame) -> Stranger:
    """The champion again, behind a step that takes its time; a stranger's model, which runs in its own process."""
    frame = table.drop(columns="employed")
    texts = [column for column in frame if column != "AGEP"]
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), texts), remainder="passthrough")
    model = make_pipeline(FunctionTransformer(take_time), encoder, LogisticRegression(max_iter=1000))
    return Stranger(model.fit(frame, table["employed"]), frame)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, new_deployment: Callable[[Path], Any]) -> Iterator[Any]:
    """A service of one champion, with its challengers in the registry."""
    folder = tmp_path_factory.mktemp("guarded")
    deployment = new_deployment(folder / "home")
    reference = reference_people(deployment.home / "data")
    tables = {
        "people": reference,
        "unfair": unfairly_labelled(reference),
        "narrow": reference[reference["RELP"].isin(["0", "1", "2"]) & (reference["AGEP"] >= 16)],
    }
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet")
    for number, (table, unknown, estimators) in enumerate(CONFIGS):
        path = folder / f"{number}.yaml"
        path.write_text(CONFIG.format(table=table, unknown=unknown, estimators=estimators))
        deployment.fairmind("train", str(path))
    deployment.fairmind("models", "promote", f"{MODEL}/1")
    store = embedded_tracking_uri(deployment.home / "mlflow.db")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # its process does not know this file
    log(slow_twin(reference), MODEL, store)
    settings = {"FAIRMIND_REGISTRY_POLL_SECONDS": "1", "FAIRMIND_REGISTRY_TRUSTED": store}
    settings["FAIRMIND_MONITORING_SEGMENT_SECONDS"] = "2"  # what is to be replayed is archived soon
    with deployment.serving(**settings) as served:
        served.wait_for_workers(lambda detail: detail["ready"])
        yield served


@pytest.fixture
def clients(people: Any) -> People:
    return later_people(people, MODEL)


def replayed(people: Any, clients: People, challenger: str) -> dict[str, Any]:
    """Return the replay of a challenger on what the champion was asked just now."""
    with clients.asking(f"replay-{challenger}"):
        asked = clients.asked
        until(lambda: clients.asked >= asked + REPLAYED)
    body = {"model": MODEL, "version": challenger, "window": "1h", "plan": plan(challenger, MODEL, steps=CANARY)}

    def found() -> dict[str, Any] | None:
        replay = people.post("/api/v1/replays", body).json()
        shown = until(lambda: _ended(people, replay["id"]))
        if "none has features in the log" in (shown["reason"] or ""):
            return None  # not yet
        return shown if shown["state"] == "failed" or (shown["rows"] or 0) >= REPLAYED else None

    return until(found)


def _ended(people: Any, replay_id: str) -> dict[str, Any] | None:
    shown: dict[str, Any] = people.get(f"/api/v1/replays/{replay_id}").json()
    return shown if shown["state"] in {"done", "failed"} else None


def replay_verdicts(shown: dict[str, Any]) -> dict[str, str]:
    assert shown["state"] == "done", shown["reason"]
    assert shown["result"]["rows"]["differing"] == 0
    return {one["guardrail"]: one["verdict"] for one in shown["result"]["judgements"]}


@pytest.fixture(autouse=True)
def no_rollout_is_left(people: Any) -> Iterator[None]:
    yield
    for one in people.get("/api/v1/rollouts").json()["rollouts"]:
        if one["finished_at"] is None:
            people.post(f"/api/v1/rollouts/{one['id']}/abort", {"reason": "the test is over"})
            Watched(people, one["id"]).until("rolled_back")


@pytest.mark.parametrize(
    ("challenger", "violated"), [(GOOD, set()), (UNFAIR, {"dp_diff:SEX"}), (NARROW, {"error_rate"})]
)
def test_a_replay_finds_beforehand_what_the_rollouts_below_find(
    people: Any, clients: People, challenger: str, violated: set[str]
) -> None:
    found = replay_verdicts(replayed(people, clients, challenger))
    assert {name for name, verdict in found.items() if verdict == "violated"} == violated
    assert found.keys() == {"error_rate", "dp_diff:SEX", "accuracy"}  # none of latency


def test_a_version_that_is_not_compiled_is_not_replayed(people: Any, clients: People) -> None:
    shown = replayed(people, clients, SLOW)
    assert (shown["state"], "is not compiled" in shown["reason"]) == ("failed", True)


@pytest.mark.parametrize(
    ("challenger", "violated"),
    [
        (UNFAIR, {"dp_diff:SEX"}),
        (NARROW, {"error_rate", "latency_slo"}),  # no answer is no answer in time either
        (SLOW, {"latency_slo"}),
    ],
    ids=["unfair to women", "refuses people", "slow"],
)
def test_a_challenger_that_harms_is_rolled_back_by_the_guardrail_that_should(
    people: Any, clients: People, challenger: str, violated: set[str]
) -> None:
    with clients.asking(f"harm-{challenger}"):
        rollout = start(people, plan(challenger, MODEL, steps=CANARY))
        rollout.until("rolled_back")
        asked = clients.asked
        until(lambda: clients.asked > asked + 20 * PER_REQUEST)
    found = rollout.violated()
    assert found
    assert found <= violated
    assert champion(people, MODEL) == "1"
    last = clients.last_of_challenger
    assert (last is None) == (challenger == NARROW)  # of 50 people it refuses some, and so all of the request
    if last is not None:
        seconds = (last - rollout.violated_at()).total_seconds()
        sys.stdout.write(f"the challenger's last answer came {seconds:.2f} s after the first look at a violation\n")
        assert seconds <= EVAL_SECONDS + ROLLBACK_SECONDS


def test_shadow_traffic_alone_finds_what_is_unfair_before_anybody_is_served_by_it(
    people: Any, clients: People
) -> None:
    with clients.asking("shadow"):
        rollout = start(people, plan(UNFAIR, MODEL, steps=[{"mode": "shadow", "sample": 1.0, "min_units": 10**6}]))
        rollout.until("rolled_back")
    assert rollout.violated() == {"dp_diff:SEX"}
    assert not any(event["weight"] for event in rollout.now()["history"])


def test_units_that_get_lost_on_their_way_to_the_challenger_hold_the_rollout(people: Any, clients: People) -> None:
    rollout = start(people, plan(GOOD, MODEL, steps=CANARY))

    def followed() -> str | None:
        state = parse_file((people.home / "run" / "serving.json").read_bytes()).models[MODEL]
        return state.salt if state.rollout_id == rollout.id else None

    salt = until(followed) or ""

    def arrives(unit: str) -> bool:  # a gateway that loses every fourth request of the challenger's
        lost = cohort(hash_unit(salt, unit), 5_000) is Cohort.CHALLENGER and hash_unit("gateway", unit) % 4 == 0
        return not lost

    clients.keep = arrives
    with clients.asking("lost"):
        found = rollout.until("paused")
    assert "not split as planned" in found["reason"]
    people.post(f"/api/v1/rollouts/{rollout.id}/abort", {"reason": "the gateway is mended"})
    rollout.until("rolled_back")


def test_a_good_challenger_is_promoted_by_itself_and_the_alias_moves_last(people: Any, clients: People) -> None:
    with clients.asking("good"):
        rollout = start(people, plan(GOOD, MODEL, steps=STEPS))
        rollout.until("soak")
        assert champion(people, MODEL) == "1"
        rollout.until("promoted")
    states = [event["state"] for event in rollout.now()["history"]]
    expected = ["pending", "shadow", "canary", "promoting", "soak", "promoted"]
    assert [state for state, _ in itertools.groupby(states)] == expected
    until(lambda: champion(people, MODEL) == GOOD)
    people.fairmind("rollout", "verify-log", rollout.id)
