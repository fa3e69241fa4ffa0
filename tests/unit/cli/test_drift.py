"""`fairmind drift`: a table, or live traffic, beside what a version learned from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result

from cli import context
from cli.failures import UsageError
from monitoring.drift_counts import DriftCounts
from monitoring.refusals import RefusalSink
from monitoring.rows import Rows
from registry.digest import digest_folder
from registry.versions import DIGEST_TAG
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.conftest import Credit, fit_credit
from tests.unit.bentos.test_drift_routes import answered, profile

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Credit:
    return fit_credit(0, tmp_path_factory.mktemp("model"))


@pytest.fixture
def reference(model: Credit, registry: FakeRegistry, tmp_path: Path) -> str:
    """A version with a profile."""
    folder = tmp_path / "profiled"
    shutil.copytree(model.folder, folder)
    profile(model).save(folder / "fairmind")
    version = registry.register("credit", folder, {DIGEST_TAG: digest_folder(folder)})
    return f"credit/{version.version}"


def people(model: Credit, folder: Path, older: float) -> str:
    frame = model.frame.sample(2_000, replace=True, random_state=1)
    frame["age"] += older
    frame.assign(label=1).to_csv(folder / "people.csv", index=False)
    return str(folder / "people.csv")


def test_a_table_like_the_reference_has_no_drift(
    fairmind: Command, model: Credit, reference: str, tmp_path: Path
) -> None:
    done = fairmind("drift", "--model", reference, "--data", people(model, tmp_path, 0), "--json")
    found = json.loads(done.stdout)
    assert found["against_profile"]["verdict"] == "no_drift"
    assert found["performance"]["outcomes"] == 0


def test_what_drifted_is_shown_with_what_came_true(
    fairmind: Command, model: Credit, reference: str, tmp_path: Path
) -> None:
    data = people(model, tmp_path, 30)
    shown = fairmind("drift", "--model", reference, "--data", data, "--label", "label").stdout
    assert "verdict: drift (age" in shown
    assert "accuracy" in shown
    found = json.loads(fairmind("drift", "--model", reference, "--data", data, "--label", "label", "--json").stdout)
    recall = next(one for one in found["performance"]["metrics"] if one["metric"] == "recall")
    assert 0.5 < recall["realised"] <= 1.0


def test_rows_that_the_model_does_not_take_are_compared_without_it(
    fairmind: Command, model: Credit, reference: str, tmp_path: Path
) -> None:
    model.frame.assign(job="poet").to_csv(tmp_path / "poets.csv", index=False)
    done = fairmind("drift", "--model", reference, "--data", str(tmp_path / "poets.csv"), "--json")
    found = json.loads(done.stdout)
    assert "job" in [one["name"] for one in found["against_profile"]["features"] if one["verdict"] == "drift"]
    assert found["performance"] is None
    assert found["notes"][0].startswith("the rows were not scored")


def test_live_traffic_is_compared_where_no_table_is_named(fairmind: Command, model: Credit, reference: str) -> None:
    opened = context.open_context()
    table = answered(model, older=30, served_at=datetime.now(UTC) - timedelta(hours=1))
    with opened.log.begin() as connection:
        version = reference.rpartition("/")[2]
        DriftCounts(lambda _model, _version: profile(model)).archived(connection, "credit", version, table)
    shown = fairmind("drift", "--model", reference, "--hours", "3").stdout
    assert "Beside what it learned from" in shown
    assert "verdict: drift (age" in shown
    assert "refused by the signature" not in shown


def test_requests_that_the_signature_refused_are_told(fairmind: Command, reference: str) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = Rows([], [], refused=[("credit", hour, "shape", 1), ("credit", hour, "wrong_type", 1_200)])
    with context.open_context().log.begin() as connection:
        RefusalSink().shipped(connection, [rows])
    shown = fairmind("drift", "--model", reference).stdout
    assert "refused by the signature: 1,201 requests (shape 1, wrong_type 1,200)" in " ".join(shown.split())


def test_what_cannot_be_compared_is_said_with_the_remedy(
    fairmind: Command, model: Credit, registry: FakeRegistry, reference: str, tmp_path: Path
) -> None:
    data = people(model, tmp_path, 0)
    without = registry.register("credit", model.folder, {DIGEST_TAG: digest_folder(model.folder)})
    done = fairmind("drift", "--model", f"credit/{without.version}", "--data", data)
    assert done.exit_code == 1
    assert "registered without a reference profile" in str(done.exception)
    for wrong in (["--label", "label"], ["--data", data, "--hours", "3"], ["--data", data, "--label", "nope"]):
        assert isinstance(fairmind("drift", "--model", reference, *wrong).exception, UsageError)
    assert "nothing that this version answered" in fairmind("drift", "--model", reference).stdout
