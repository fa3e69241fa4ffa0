"""The worked example of drift: a model of 2015 on the census of 2016 to 2018, estimated and then looked up.

`python -m training.census_drift` trains on the US Census employment data of Massachusetts, and writes what it finds
to `docs/drift-census.json`, the tables of `docs/drift.md` and its pictures. It registers nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from compilation.compile import compile_model
from inference.loading import load_model
from monitoring.counted_window import count_table, reference_window
from monitoring.drift import compare
from monitoring.drift_traffic import estimated
from monitoring.estimation import Estimated
from monitoring.profile import ReferenceProfile
from monitoring.scored_table import known_outcomes, scored_table
from sources.named import CensusPart, census_employment
from training.config import TrainingConfig
from training.data import load
from training.estimators import build, fit, leave_a_core
from training.evaluation import evaluate
from training.reference_profile import reference_profile
from training.split import split_rows

_CONFIG: Final = Path(__file__).parent / "configs" / "employment.yaml"
_ESTIMATOR, _REFERENCE_YEAR, _BATCH_ROWS = "boosted", 2015, 5_000


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Frozen):
    """A year, or a batch in the file's order: how far it drifted, and its accuracy, estimated and come true."""

    name: str
    rows: int
    verdict: str
    largest_psi: float
    largest_feature: str
    drifted: tuple[str, ...]
    estimated: float
    lower: float
    upper: float
    came_true: float
    outcome_rate: float
    estimated_outcome_rate: float

    @property
    def is_held(self) -> bool:
        """Whether what came true is in the interval."""
        return self.lower <= self.came_true <= self.upper


class FeatureYears(_Frozen):
    """The population stability index of one feature in each year, and its verdict in the last."""

    name: str
    psi: dict[str, float]
    verdict: str


class CensusDrift(_Frozen):
    """All that the example found."""

    training_rows: int
    held_out_rows: int
    held_out_accuracy: float
    years: tuple[Part, ...]
    batches: tuple[Part, ...]
    features: tuple[FeatureYears, ...]


def census_drift(data_folder: Path) -> CensusDrift:
    """Return what a model of 2015 meets in the later years; the same numbers each time.

    Args:
        data_folder: Where the census data is kept once it was fetched.

    Raises:
        SourceError: the data cannot be read.
    """
    config = TrainingConfig.from_yaml(_CONFIG)
    data = load(config, data_folder)
    rows = split_rows(data.labels, config.split)
    pipeline = build(
        _ESTIMATOR,
        config.estimators[_ESTIMATOR],
        task=data.labels.task,
        features=data.features,
        unknown=config.unknown_categories,
        seed=config.split.seed,
    )
    with leave_a_core():
        fit(_ESTIMATOR, pipeline, data.table.iloc[rows.train], data.labels.values[rows.train])
        evaluation = evaluate(pipeline, data, rows.test, config.gates)
    profile = reference_profile(data, rows, evaluation)
    with tempfile.TemporaryDirectory(prefix="fairmind-census-") as folder:
        compile_model(pipeline, data.table.iloc[rows.test]).save(Path(folder))
        later = scored_table(_later(data_folder), load_model(Path(folder)), profile)
    years = later.column("year").to_pandas()
    found = {str(year): later.filter(pa.array(years == year)) for year in sorted(years.unique())}
    parts = {name: _reported(profile, name, part, config.label) for name, part in found.items()}
    reports = {
        name: compare(profile, reference_window(profile), count_table(profile, part))
        for name, part in found.items()
    }
    sizes = {
        name: {one.name: (one.shape.psi or 0.0, one.verdict.value) for one in report.features}
        for name, report in reports.items()
    }
    last = max(sizes)
    features = [
        FeatureYears(name=name, psi={year: sizes[year][name][0] for year in sizes}, verdict=verdict)
        for name, (_, verdict) in sorted(sizes[last].items(), key=lambda item: -item[1][0])
    ]
    return CensusDrift(
        training_rows=profile.feature_rows,
        held_out_rows=profile.scored_rows,
        held_out_accuracy=float(evaluation.quality["accuracy"]),
        years=tuple(parts.values()),
        batches=tuple(_reported(profile, name, batch, config.label) for name, batch in _batches(later)),
        features=tuple(features),
    )


def _later(data_folder: Path) -> pd.DataFrame:
    """Return the rows of the later years in the file's order, with their labels."""
    rows, labels = (
        census_employment(part).read(data_folder) for part in (CensusPart.LATER_YEARS, CensusPart.LATER_LABELS)
    )
    return rows.merge(labels, on="id", how="left", validate="one_to_one")


def _batches(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    for number, start in enumerate(range(0, table.num_rows, _BATCH_ROWS), 1):
        yield str(number), table.slice(start, _BATCH_ROWS)


def _reported(profile: ReferenceProfile, name: str, rows: pa.Table, label: str) -> Part:
    window = count_table(profile, rows, label=label)
    report = compare(profile, reference_window(profile), window)
    estimate = estimated(profile, window, known_outcomes(rows, label, profile))
    metrics: dict[str, Estimated] = {one.metric: one for one in estimate.metrics} if estimate else {}
    accuracy, rate = metrics["accuracy"], metrics["outcome_rate"]
    return Part(
        name=name,
        rows=window.rows,
        verdict=report.verdict.value,
        largest_psi=report.score or 0.0,
        largest_feature=report.score_feature or "",
        drifted=report.drifted(),
        estimated=accuracy.value,
        lower=accuracy.lower,
        upper=accuracy.upper,
        came_true=accuracy.realised or 0.0,
        outcome_rate=rate.realised or 0.0,
        estimated_outcome_rate=rate.value,
    )


def main(arguments: list[str] | None = None) -> None:
    """Compute, and write the page's numbers and pictures."""
    from training.census_drift_page import write

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="folder of drift.md")
    parser.add_argument("--data", type=Path, default=Path(".fairmind/data"), help="where fetched data is kept")
    asked: Any = parser.parse_args(arguments)
    write(census_drift(asked.data), asked.docs)


if __name__ == "__main__":
    main()
