"""`fairmind bias-test`: rows from a file, a query or a data set; kept, shown, and made gates of the version."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import Result

from assessment import store
from assessment.data_sets import DataSets
from assessment.upload import Upload
from cli import context
from registry.gate_record import GateRecord
from registry.reference import Reference
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.conftest import Credit, fit_credit, gated

Command = Callable[..., Result]
ATTRIBUTE = {"metric": "demographic_parity_difference", "attribute": "SEX", "at_most": 0.1}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Credit:
    return fit_credit(0, tmp_path_factory.mktemp("model"))


@pytest.fixture
def table(model: Credit, registry: FakeRegistry, tmp_path: Path) -> Path:
    """People, half of each sex at random; `credit/4` is the model that scores them."""
    registry.register("credit", model.folder, gated(model.folder))
    random = np.random.default_rng(1)
    frame = pd.concat([model.frame] * 8, ignore_index=True)
    frame["outcome"] = random.integers(0, 2, len(frame))
    frame["SEX"] = random.choice(["a", "b"], len(frame))
    frame["ELDER"] = np.where(frame["age"] > 45, "yes", "no")
    frame.to_csv(tmp_path / "people.csv", index=False)
    return tmp_path / "people.csv"


def measured(fairmind: Command, *more: str, protected: str = "SEX") -> Result:
    wanted = ("--model", "credit/4", "--label", "outcome", "--protected", protected, "--favourable", "1")
    return fairmind("bias-test", *wanted, *more)


def policy(folder: Path, *tolerances: dict[str, Any]) -> str:
    path = folder / "policy.json"
    path.write_text(json.dumps({"tolerances": tolerances}))
    return str(path)


def test_a_file_a_query_and_a_data_set_of_the_same_rows_measure_the_same(
    fairmind: Command, table: Path, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "theirs.db") as database:
        pd.read_csv(table).to_sql("people", database, index=False)
    opened = context.open_context()
    sets = DataSets(opened.control, opened.home.datasets, 100_000)
    upload = Upload(table.read_bytes(), "people.csv")
    kept = sets.add(upload, dataset_id="ds_1", user_id="ada", now=datetime.now(UTC))
    sources = (
        ("--data", str(table)),
        ("--sql", f"sqlite:///{tmp_path / 'theirs.db'}", "SELECT * FROM people"),
        ("--dataset", "people"),
    )
    results = [json.loads(measured(fairmind, *source, "--json").stdout) for source in sources]
    assert results[0]["attributes"] == results[1]["attributes"] == results[2]["attributes"]
    assert [result["dataset"] for result in results] == [None, None, kept.id]
    listed, total = store.listed(opened.control, model="credit")
    assert total == 3
    assert {test.id for test in listed} == {result["test_id"] for result in results}


def test_the_address_of_a_database_may_be_in_a_variable(
    fairmind: Command, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(tmp_path / "theirs.db") as database:
        pd.read_csv(table).to_sql("people", database, index=False)
    monkeypatch.setenv("THEIR_DATABASE", f"sqlite:///{tmp_path / 'theirs.db'}")
    run = measured(fairmind, "--sql", "THEIR_DATABASE", "SELECT * FROM people", "--json")
    assert json.loads(run.stdout)["rows"] == 3_200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give one of --data FILE, --sql URL QUERY and --dataset NAME"),
        (("--data", "a.csv", "--dataset", "b"), "give one of"),
        (("--dataset", "nope"), "no data set 'nope'"),
        (("--sql", "postgresql://ada:secret@host/db", "SELECT 1"), "holds a password"),
        (("--data", "people.csv", "--report", "r.pdf"), "must end in .html or .md"),
        (("--data", "people.csv", "--policy", "nope.yaml"), "cannot be read"),
        (("--data", "people.csv", "--flip", "job=nurse"), "--flip: name an attribute and two of its values"),
        (("--data", "people.csv", "--flip", "job=nurse,nurse"), "the two values of 'job' are the same"),
        (("--data", "people.csv", "--intersection", "SEX"), "two or more different attributes"),
    ],
)
def test_what_makes_no_sense_is_said(fairmind: Command, table: Path, arguments: Any, message: str) -> None:
    run = measured(fairmind, *arguments)
    assert message in str(run.exception)
    assert "secret" not in str(run.exception)


def test_a_column_that_is_not_there_is_named(fairmind: Command, table: Path) -> None:
    assert "no column 'RACE'" in str(measured(fairmind, "--data", str(table), protected="RACE").exception)


def test_flips_proxies_and_intersections_are_measured_where_they_are_asked_for(
    fairmind: Command, table: Path
) -> None:
    asked = ("--data", str(table), "--flip", "job=nurse,smith", "--proxies", "--intersection", "SEX,ELDER")
    found = json.loads(measured(fairmind, *asked, "--json", protected="SEX,ELDER").stdout)
    assert [group["group"] for group in found["flips"][0]["groups"]] == ["nurse", "smith"]
    assert [report["attribute"] for report in found["proxies"]] == ["SEX", "ELDER"]
    assert found["proxies"][1]["features"][0]["feature"] == "age"
    assert found["attributes"][-1]["attribute"] == "SEX × ELDER"
    told = measured(fairmind, *asked, protected="SEX,ELDER").output
    assert "job: nurse and smith" in told
    assert "names the right group of" in told


def test_a_report_is_written_for_people_and_for_a_model_card(
    fairmind: Command, table: Path, tmp_path: Path
) -> None:
    for name, start in (("r.html", "<!DOCTYPE html>"), ("r.md", "## Fairness")):
        measured(fairmind, "--data", str(table), "--report", str(tmp_path / name))
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)


def test_a_failed_tolerance_exits_3_and_lacking_evidence_only_where_it_is_required(
    fairmind: Command, table: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few.csv"
    pd.read_csv(table).head(100).to_csv(few, index=False)
    elder = ATTRIBUTE | {"attribute": "ELDER"}
    failed = measured(fairmind, "--data", str(table), "--policy", policy(tmp_path, elder), protected="ELDER")
    assert failed.exit_code == 3
    assert "refused: bias gate demographic_parity_difference on ELDER" in failed.output
    lacking = measured(fairmind, "--data", str(few), "--policy", policy(tmp_path, ATTRIBUTE))
    assert lacking.exit_code == 0
    assert "not decided:" in lacking.output
    required = policy(tmp_path, ATTRIBUTE | {"required_groups": ["*"]})
    assert measured(fairmind, "--data", str(few), "--policy", required).exit_code == 3
    shown = policy(tmp_path, elder | {"gating": False})
    assert measured(fairmind, "--data", str(table), "--policy", shown, protected="ELDER").exit_code == 0


def test_what_is_recorded_refuses_a_promotion_until_it_is_overridden(
    fairmind: Command, registry: FakeRegistry, table: Path, tmp_path: Path
) -> None:
    assert fairmind("models", "promote", "credit/4", "--alias", "challenger").exit_code == 0
    elder = policy(tmp_path, ATTRIBUTE | {"attribute": "ELDER"})
    run = measured(fairmind, "--data", str(table), "--policy", elder, "--record", "--json", protected="ELDER")
    assert run.exit_code == 3
    version = registry.find(Reference("credit", version="4"))
    record = GateRecord.from_version(version)
    assert record is not None
    assert record.digest == version.digest
    assert record.bias_policy == {
        "tolerances": [ATTRIBUTE | {"attribute": "ELDER", "required_groups": [], "gating": True}]
    }
    (refusing,) = record.refusing()
    assert (refusing.attribute, refusing.test_id) == ("ELDER", json.loads(run.stdout)["test_id"])
    refused = fairmind("models", "promote", "credit/4")
    assert type(refused.exception).__name__ == "GateRefusedError"
    overridden = fairmind("models", "promote", "credit/4", "--override", "the board decided", "--json")
    assert json.loads(overridden.stdout)["overridden"]
    shown = json.loads(fairmind("models", "list", "--json").stdout)
    assert "the board decided" in json.dumps(shown)


def test_lacking_evidence_that_is_not_required_is_recorded_and_printed_with_the_promotion(
    fairmind: Command, table: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few.csv"
    pd.read_csv(table).head(100).to_csv(few, index=False)
    assert (
        measured(fairmind, "--data", str(few), "--policy", policy(tmp_path, ATTRIBUTE), "--record").exit_code == 0
    )
    run = fairmind("models", "promote", "credit/4")
    assert run.exit_code == 0
    assert "not decided: bias gate demographic_parity_difference on SEX: not enough evidence" in run.output
    again = fairmind("models", "promote", "credit/4", "--json")
    assert [gate["attribute"] for gate in json.loads(again.stdout)["undecided"]] == ["SEX"]
