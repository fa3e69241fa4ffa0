"""Users who send real people to a served model, by both protocols; the objectives are the exit status.

Run by `make loadtest`, or by hand against a server of your own:
`locust -f loadtests/locustfile.py --headless --host http://127.0.0.1:3000 --users 50 --run-time 1m`.
"""

from __future__ import annotations

import dataclasses
import json
import random
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import httpx
from locust import FastHttpUser, between, events, task

from loadtests.homes import MODEL, default_home
from loadtests.rows import Inputs, Person, infer_body, people, predict_body, served_inputs, unit_names
from loadtests.slo import Objectives, Observed, judge
from loadtests.traffic import Split, challenger_weight

PEOPLE = 5_000
UNITS = 20_000


@dataclasses.dataclass(slots=True)
class Plan:
    """What all users share: the rows, the names of units, and what was seen."""

    inputs: Inputs
    persons: list[Person]
    units: list[str]
    split: Split
    weight: float | None


PLANS: dict[str, Plan] = {}


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """Add the objectives, the data folder and where to write the result."""
    objectives = Objectives()
    parser.add_argument(
        "--data-folder", type=Path, default=default_home() / "data", help="where data sets are kept"
    )
    parser.add_argument("--result", type=Path, default=Path("reports/loadtest.json"), help="where the result goes")
    parser.add_argument("--max-error-ratio", type=float, default=objectives.error_ratio)
    parser.add_argument("--max-p95", type=float, default=objectives.p95_milliseconds, help="milliseconds")
    parser.add_argument("--min-requests", type=int, default=objectives.requests)


@events.init.add_listener
def prepare(environment: Any, **_: Any) -> None:
    """Read the rows and the stated weight before the clock of the run starts."""
    url = environment.host
    inputs = served_inputs(url, MODEL)
    exposition = httpx.get(f"{url}/metrics", timeout=10.0, trust_env=False).text
    PLANS["shared"] = Plan(
        inputs=inputs,
        persons=people(environment.parsed_options.data_folder, inputs, PEOPLE),
        units=unit_names(UNITS),
        split=Split(),
        weight=challenger_weight(exposition, MODEL),
    )


@events.quitting.add_listener
def conclude(environment: Any, **_: Any) -> None:
    """Judge the run, print the findings, write the result, and make it the exit status."""
    options, total = environment.parsed_options, environment.stats.total
    plan = PLANS.get("shared")
    split = plan.split if plan else Split()
    observed = Observed(
        requests=total.num_requests,
        failures=total.num_failures,
        p95_milliseconds=float(total.get_response_time_percentile(0.95)),
        units=len(split.variants),
        challenger_units=split.at_challenger(),
        moved_units=len(split.moved),
        weight=plan.weight if plan else None,
    )
    objectives = Objectives(
        error_ratio=options.max_error_ratio, p95_milliseconds=options.max_p95, requests=options.min_requests
    )
    findings = judge(observed, objectives)
    for finding in findings:
        print(f"{'met   ' if finding.met else 'MISSED'}  {finding.objective}: {finding.seen}")
    options.result.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "observed": dataclasses.asdict(observed),
        "requests_per_second": round(total.total_rps, 1),
        "objectives": dataclasses.asdict(objectives),
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "met": all(finding.met for finding in findings),
    }
    options.result.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    environment.process_exit_code = 0 if result["met"] else 1


class Caller(FastHttpUser):
    """Somebody who asks about ten times a second, mostly about one person."""

    wait_time = between(0.0, 0.2)  # uneven on purpose: users in step would queue behind each other in this process

    def on_start(self) -> None:
        """Take the shared plan."""
        self.plan = PLANS["shared"]
        self.random = random.Random()

    @task(8)
    def predict_one(self) -> None:
        """Ask about one person."""
        self._predict(1)

    @task(1)
    def predict_a_few(self) -> None:
        """Ask about several people at once."""
        self._predict(self.random.randint(2, 8))

    @task(1)
    def infer(self) -> None:
        """Ask about one person by the Open Inference Protocol."""
        person, unit = self.random.choice(self.plan.persons), self.random.choice(self.plan.units)
        body = infer_body(self.plan.inputs, [person], unit)
        with self.client.post(f"/v2/models/{MODEL}/infer", json=body, catch_response=True) as answer:
            if answer.status_code == httpx.codes.OK and not answer.json().get("outputs"):
                answer.failure("no outputs")

    def _predict(self, count: int) -> None:
        units = self.random.sample(self.plan.units, count)
        persons = self.random.choices(self.plan.persons, k=count)
        body = predict_body(MODEL, persons, units)
        with self.client.post("/predict", json=body, catch_response=True) as answer:
            if answer.status_code != httpx.codes.OK:
                return
            predictions = answer.json()["predictions"]
            if len(predictions) != count:
                answer.failure(f"{len(predictions)} predictions for {count} instances")
            elif not self.plan.split.note(units, (prediction["variant"] for prediction in predictions)):
                answer.failure("a unit changed its variant")
