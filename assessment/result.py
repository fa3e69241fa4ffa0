"""What a bias test answers."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from assessment.flips import FlipReport
from assessment.options import Label
from assessment.proxies import ProxyReport
from fairness.aggregates import Aggregate
from fairness.families import FamilyRecord
from fairness.gate import BiasPolicy, Verdict
from fairness.report import AttributeReport


class DataSource(StrEnum):
    """Where the decisions came from."""

    SCORED = "scored"  # rows in the request, scored by the model
    PREDICTIONS = "predictions"  # decisions sent along with the rows
    TABLE = "table"  # rows of a data source, scored by the model
    TRAFFIC = "traffic"  # a window of the prediction log


class BiasTestResult(BaseModel):
    """One bias test. `verdict` is the worst of the tolerances that gate, null where none does.

    `attributes` have the intersections that were asked for among them. `families` record which tests were corrected
    for together, `individual` are the indices that know no groups. `flips` and `proxies` are there where they were
    asked for. `dataset` is the id of the data set its rows came from, null where they came from elsewhere.
    """

    model_config = ConfigDict(frozen=True)

    test_id: str
    model: str | None
    model_version: str | None
    created_at: AwareDatetime
    source: DataSource
    rows: int
    favourable: Label
    verdict: Verdict | None
    attributes: tuple[AttributeReport, ...]
    policy: BiasPolicy
    alpha: float
    minimum_rows: int
    notes: tuple[str, ...]
    dataset: str | None = None
    families: tuple[FamilyRecord, ...] = ()
    individual: dict[str, Aggregate] = {}
    flips: tuple[FlipReport, ...] = ()
    proxies: tuple[ProxyReport, ...] = ()
