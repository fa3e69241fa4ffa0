"""NannyML is the oracle of performance without labels, on the census years, from an environment of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from monitoring.cells import EXTRAS, column_profile, count_column, count_scores, reference_counts, sparse
from monitoring.drift_statistics import jensen_shannon_distance, kolmogorov_smirnov
from monitoring.estimation import calibrate, estimate
from monitoring.profile import ScoreProfile
from sources.named import CensusPart, census_employment
from tests import environments

pytestmark = pytest.mark.long

NANNYML = Path(__file__).with_name("nannyml")
CHUNK, CHUNKS = 5_000, 40
NAMES = {"predicted_probability": "score", "prediction": "prediction", "AGEP": "number"}


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """The reference year, scored by the model that comes with the data, and chunks of the later years."""
    folder = tmp_path_factory.mktemp("data")
    reference = census_employment().read(folder).rename(columns=NAMES | {"employed": "outcome"})
    later = census_employment(CensusPart.LATER_YEARS).read(folder).rename(columns=NAMES)
    chunks = [later.iloc[place * CHUNK : (place + 1) * CHUNK] for place in range(CHUNKS)]
    return reference, chunks


@pytest.fixture(scope="module")
def said(years: tuple[pd.DataFrame, list[pd.DataFrame]]) -> Any:
    """What NannyML says of each chunk."""
    reference, chunks = years
    kept = ["score", "prediction", "number"]
    told = {
        "reference": reference[[*kept, "outcome"]].to_dict("list"),
        "chunks": [chunk[kept].to_dict("list") for chunk in chunks],
    }
    return environments.asked(NANNYML, told)


def profile(reference: pd.DataFrame) -> ScoreProfile:
    score, decided = reference["score"].to_numpy(), reference["prediction"].to_numpy() == 1
    true = reference["outcome"].to_numpy() == 1
    counts, positives = count_scores(score, decided), count_scores(score[true], decided[true])
    return ScoreProfile(
        counts=(sparse(counts[0]), sparse(counts[1])), positives=(sparse(positives[0]), sparse(positives[1]))
    )


TOLERANCES = {"accuracy": 0.005, "precision": 0.01, "recall": 0.01, "f1": 0.01}


@pytest.mark.parametrize("metric", TOLERANCES)
def test_our_estimate_is_that_of_nannyml_to_a_tolerance(said: Any, years: Any, metric: str) -> None:
    reference, chunks = years
    calibration = calibrate(profile(reference))
    assert calibration is not None
    for chunk, theirs in zip(chunks, said["metrics"][metric], strict=True):
        scores = count_scores(chunk["score"].to_numpy(), chunk["prediction"].to_numpy() == 1)
        found = estimate(calibration, scores)
        assert found is not None
        ours = {one.metric: one.value for one in found.metrics}
        assert ours[metric] == pytest.approx(theirs, abs=TOLERANCES[metric])


def test_our_distances_of_ages_are_near_those_of_nannyml(said: Any, years: Any) -> None:
    reference, chunks = years
    ages = column_profile(pa.array(reference["number"]))
    before = reference_counts(ages)[:-EXTRAS]
    for place, chunk in enumerate(chunks):
        now = count_column(ages, pa.array(chunk["number"]), CHUNK)[:-EXTRAS]
        found = kolmogorov_smirnov(before, now).statistic
        assert found is not None
        # A lower bound: 20 cells see most of the largest difference of the distribution functions.
        assert found <= said["ks"][place] + 1e-9
        assert found >= 0.7 * said["ks"][place] - 0.005
        # Theirs is over bins of another rule.
        assert jensen_shannon_distance(before, now) == pytest.approx(said["jensen_shannon"][place], abs=0.05)
    assert np.argmax(said["ks"]) == 27
