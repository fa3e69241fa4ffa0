"""What a version is compared with later is written when it is registered, and again when its threshold moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from inference.frames import columns_from_frame
from inference.loading import load_model
from monitoring.counted_window import count_table
from monitoring.drift import drift_of
from monitoring.drift_policy import DriftVerdict
from monitoring.profile import CategoryProfile, NumberProfile, ReferenceProfile
from registry.mlflow_registry import MlflowRegistry
from registry.model_cache import ModelCache
from registry.reference import Reference
from training.config import EstimatorConfig, TrainingConfig
from training.decision_version import set_threshold
from training.store import TrackingStore
from training.train import train


def _registered(
    people: pd.DataFrame, label: str, kind: str, store: TrackingStore, folder: Path
) -> tuple[ReferenceProfile, Path, MlflowRegistry, str]:
    path = folder / "people.csv"
    people.drop(columns=["since", "person_id", "email"]).to_csv(path, index=False)
    config = TrainingConfig.for_table(path, label, ["sex"])
    config = config.model_copy(
        update={"name": f"profiled-{label}", "estimators": {"one": EstimatorConfig(kind=kind)}}
    )
    (version,) = train(config, store=store, data_folder=folder / "data")
    registry = MlflowRegistry(store.tracking_uri)
    fetched = ModelCache(folder / "models").fetch(registry, registry.find(version.reference))
    profile = ReferenceProfile.load(fetched / "fairmind")
    assert profile is not None
    return profile, fetched / "fairmind", registry, str(version.reference)


def test_a_classifier_comes_with_its_profile_and_a_threshold_makes_another(
    people: pd.DataFrame, store: TrackingStore, tmp_path: Path
) -> None:
    profile, folder, registry, reference = _registered(people, "y", "logistic_regression", store, tmp_path)
    assert profile.source == "registered"
    assert profile.feature_rows + profile.scored_rows == len(people)
    assert profile.classes == ("no", "yes")
    age, job = profile.features["age"], profile.features["job"]
    assert isinstance(age, NumberProfile)
    assert isinstance(job, CategoryProfile)
    assert sum(age.counts) + age.missing == sum(job.counts) + job.missing == profile.feature_rows
    assert set(job.categories) == {"clerk", "smith", "baker"}
    assert "sex" not in profile.features, "a protected attribute is no feature"
    assert profile.outcome is not None
    assert profile.prediction is not None
    assert profile.score is not None
    assert sum(profile.outcome.counts) == sum(profile.prediction.counts) == profile.scored_rows
    assert sum(sum(each.values()) for each in profile.score.counts) == profile.scored_rows

    answered = load_model(folder).predict(*columns_from_frame(people, load_model(folder).signature))
    assert answered.probabilities is not None
    table = pa.Table.from_pandas(people[list(profile.features)], preserve_index=False)
    table = table.append_column("fairmind.prediction", pa.array([f'"{label}"' for label in answered.prediction]))
    table = table.append_column("fairmind.score", pa.array(answered.probabilities[:, 1]))
    window = count_table(profile, table)
    assert window.prediction is not None
    assert window.prediction[:2].tolist() == [int((answered.prediction == label).sum()) for label in ("no", "yes")]
    assert drift_of(profile, table).verdict is not DriftVerdict.DRIFT
    assert drift_of(profile, table.set_column(0, "age", pa.array(people["age"] + 30))).drifted() == ("age",)

    cache = ModelCache(tmp_path / "models")
    made = set_threshold(
        Reference.parse(reference),
        0.2,
        registry=registry,
        cache=cache,
        store=store,
        actor="test",
    )
    moved = ReferenceProfile.load(cache.fetch(registry, registry.find(made.reference)) / "fairmind")
    assert moved == profile.at(200)
    assert moved.prediction != profile.prediction


def test_a_regressor_has_a_profile_of_numbers_and_no_scores(
    people: pd.DataFrame, store: TrackingStore, tmp_path: Path
) -> None:
    people = people.dropna(subset="income")
    profile, _, _, _ = _registered(people, "income", "linear_regression", store, tmp_path)
    assert isinstance(profile.prediction, NumberProfile)
    assert isinstance(profile.outcome, NumberProfile)
    assert profile.score is None
    assert np.isfinite([profile.outcome.minimum, profile.outcome.maximum]).all()
