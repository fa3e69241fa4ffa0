"""Guarded rollouts on real people: what is good is promoted by itself, what harms is stopped by what should.

The champion is a logistic regression on the census. Its challengers: boosted trees, which are better; boosted trees
that learned from unfair labels, by which every third employed woman is not (as accurate as the champion, and 10
points less of the women are selected, compared with the men); a model of adults of working age in three household
roles, which refuses everybody else; and the champion's twin with a step that takes its time.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from registry.store import embedded_tracking_uri
from rollout.assignment import Cohort, cohort, hash_unit
from rollout.serving_state import parse_file
from sources.named import CensusPart, census_employment
from tests.fakes.strangers import Stranger, log
from tests.waiting import until

pytestmark = pytest.mark.long

MODEL = "people"
GOOD, UNFAIR, NARROW, SLOW = "2", "3", "4", "5"
ROWS = 15_000
PER_REQUEST = 50
REPLAYED = 4_000
CLIENTS = 3
REST_SECONDS = 0.03
"""Between two requests of a client: who decides gives way to who answers, and has its turns in these."""
SLO_MS = 400.0
SLOW_SECONDS = 0.6
"""As far from what a request takes on a busy machine, both, as a proof of minutes allows."""

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

CANARY: list[dict[str, Any]] = [{"weight": 0.5, "min_units": 500, "max_duration": "1h", "min_duration": "1h"}]
STEPS: list[dict[str, Any]] = [
    {"mode": "shadow", "sample": 0.5, "min_units": 300},
    {"weight": 0.1, "min_units": 300},
    {"weight": 0.5, "min_units": 500, "advance_when": "all_passed"},
    {"mode": "soak"},
]
GUARDRAILS: list[dict[str, Any]] = [
    {"metric": "error_rate", "margin": 0.02},
    {"metric": "latency_slo", "slo_ms": SLO_MS, "margin": 0.05},
    {"metric": "dp_diff", "attribute": "SEX", "reference": "1", "margin": 0.05},
    {"metric": "accuracy", "margin": 0.03},
]


def plan(challenger: str, **change: Any) -> dict[str, Any]:
    return {
        "model": MODEL,
        "challenger": challenger,
        "guardrails": GUARDRAILS,
        "label_maturity": "2s",
        "eval_interval": "1s",
        "rollback_cooldown": "0s",
    } | change


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


@dataclass
class People:
    """Clients that ask about people nobody asked about before, some at a time, and say later who was employed."""

    url: str
    people: pd.DataFrame
    columns: list[str]
    keep: Callable[[str], bool] = lambda _unit: True
    asked: int = 0
    failed: dict[int, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def asking(self, prefix: str) -> Iterator[People]:
        done = threading.Event()
        threads = [
            threading.Thread(target=self._ask, args=(f"{prefix}-{number}", number, done))
            for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            done.set()
            for thread in threads:
                thread.join(60)

    def _ask(self, prefix: str, number: int, done: threading.Event) -> None:
        random = np.random.default_rng(number)
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as client:
            for count in itertools.count():
                if done.is_set():
                    return
                drawn = self.people.iloc[random.integers(0, len(self.people), PER_REQUEST)].to_dict("records")
                units = [f"{prefix}-{count}-{index}" for index in range(PER_REQUEST)]
                chosen = [(unit, row) for unit, row in zip(units, drawn, strict=True) if self.keep(unit)]
                instances = [
                    {
                        "features": {column: row[column] for column in self.columns},
                        "unit": unit,
                        "protected": {"SEX": row["SEX"]},
                    }
                    for unit, row in chosen
                ]
                answer = client.post("/predict", json={"instances": instances})
                self.asked += len(instances)
                if answer.status_code != 200:
                    self.failed[answer.status_code] = self.failed.get(answer.status_code, 0) + 1
                    done.wait(0.05)
                    continue
                outcomes = [
                    {"prediction_id": one["prediction_id"], "outcome": int(row["employed"])}
                    for one, (_, row) in zip(answer.json()["predictions"], chosen, strict=True)
                ]
                # Idempotent, and a database that is busy for long refuses it: who has nothing to lose asks again.
                while client.post("/api/v1/outcomes", json=outcomes).is_server_error:
                    if done.wait(0.5):
                        return
                done.wait(REST_SECONDS)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, new_deployment: Callable[[Path], Any]) -> Iterator[Any]:
    """A service of one champion, with its challengers in the registry."""
    folder = tmp_path_factory.mktemp("guarded")
    deployment = new_deployment(folder / "home")
    reference = census_employment().read(deployment.home / "data").sample(n=ROWS, random_state=3)
    reference = reference.drop(columns=["id", "year", "prediction", "predicted_probability"])
    is_harmed = (
        (reference["SEX"] == "2") & (reference["employed"] == 1) & (np.random.default_rng(1).random(ROWS) < 0.3)
    )
    tables = {
        "people": reference,
        "unfair": reference.assign(employed=reference["employed"].where(~is_harmed, 0)),
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
    data = people.home / "data"
    rows = census_employment(CensusPart.LATER_YEARS).read(data)
    labels = census_employment(CensusPart.LATER_LABELS).read(data)
    columns = [tensor["name"] for tensor in people.get(f"/v2/models/{MODEL}").json()["inputs"]]
    return People(people.url, rows.merge(labels, on="id").sample(n=20_000, random_state=1), columns)


@dataclass
class Watched:
    """A rollout that was started, looked at through the API."""

    people: Any
    id: str

    def now(self) -> dict[str, Any]:
        found: dict[str, Any] = self.people.get(f"/api/v1/rollouts/{self.id}").json()
        return found

    def until(self, *states: str, seconds: float = 600.0) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while (found := self.now())["state"] not in states:
            assert time.monotonic() < deadline, (found["state"], found["reason"], self.evaluation())
            time.sleep(0.3)
        return found

    def evaluation(self) -> dict[str, Any]:
        newest: dict[str, Any] = self.people.get(f"/api/v1/rollouts/{self.id}/evaluations").json()
        return newest["evaluations"][-1] if newest["evaluations"] else newest

    def violated(self) -> set[str]:
        """Return what the evaluation that ended it found to be violated."""
        judgements = self.evaluation()["evaluation"]["judgements"]
        return {one["guardrail"] for one in judgements if one["verdict"] == "violated"}


def start(people: Any, content: dict[str, Any]) -> Watched:
    # Steps of seconds are too short by what the last day's traffic says, and a stranger's version has no gates.
    answer = people.post("/api/v1/rollouts?override=the+proof+has+minutes+instead+of+days", content)
    assert answer.status_code == 201, answer.text
    return Watched(people, answer.json()["id"])


def replayed(people: Any, clients: People, challenger: str) -> dict[str, Any]:
    """Return the replay of a challenger on what the champion was asked just now."""
    with clients.asking(f"replay-{challenger}"):
        asked = clients.asked
        until(lambda: clients.asked >= asked + REPLAYED, seconds=120)
    body = {"model": MODEL, "version": challenger, "window": "1h", "plan": plan(challenger, steps=CANARY)}

    def found() -> dict[str, Any] | None:
        replay = people.post("/api/v1/replays", body).json()
        shown = until(lambda: _ended(people, replay["id"]), seconds=60)
        return shown if shown["state"] == "failed" or (shown["rows"] or 0) >= REPLAYED else None

    return until(found, seconds=120)


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
        rollout = start(people, plan(challenger, steps=CANARY))
        rollout.until("rolled_back")
    found = rollout.violated()
    assert found
    assert found <= violated
    assert champion(people) == "1"


def test_shadow_traffic_alone_finds_what_is_unfair_before_anybody_is_served_by_it(
    people: Any, clients: People
) -> None:
    with clients.asking("shadow"):
        rollout = start(people, plan(UNFAIR, steps=[{"mode": "shadow", "sample": 1.0, "min_units": 10**6}]))
        rollout.until("rolled_back")
    assert rollout.violated() == {"dp_diff:SEX"}
    assert not any(event["weight"] for event in rollout.now()["history"])


def test_units_that_get_lost_on_their_way_to_the_challenger_hold_the_rollout(people: Any, clients: People) -> None:
    rollout = start(people, plan(GOOD, steps=CANARY))

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
        rollout = start(people, plan(GOOD, steps=STEPS))
        rollout.until("soak")
        assert champion(people) == "1"
        rollout.until("promoted")
    states = [event["state"] for event in rollout.now()["history"]]
    expected = ["pending", "shadow", "canary", "promoting", "soak", "promoted"]
    assert [state for state, _ in itertools.groupby(states)] == expected
    until(lambda: champion(people) == GOOD)
    people.fairmind("rollout", "verify-log", rollout.id)


def champion(people: Any) -> str:
    """Return the version that the registry's alias names."""
    versions = people.get(f"/api/v1/models/{MODEL}").json()["versions"]
    return next(one["version"] for one in versions if "champion" in one["aliases"])
