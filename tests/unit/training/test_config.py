from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fairness.disparities import Metric
from sources.file import FileSource
from sources.named import census_employment, german_credit
from training.config import TaskChoice, TrainingConfig
from training.errors import ConfigError
from training.policy import QualityGate, QualityMetric

CONFIGS = Path(__file__).parents[3] / "training" / "configs"
SMALL: dict[str, Any] = {"name": "m", "source": {"kind": "file", "path": "t.csv"}, "label": "y"}


def _written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


def test_the_census_is_gated_on_sex_and_reported_on_race() -> None:
    config = TrainingConfig.from_yaml(CONFIGS / "employment.yaml")

    assert config.source == census_employment()
    assert (config.label, config.favourable, config.protected) == ("employed", 1, ("SEX", "RAC1P"))
    assert set(config.exclude) == {"id", "year", "prediction", "predicted_probability"}
    assert list(config.estimators) == ["logistic", "boosted"]
    gating = {(gate.metric, gate.attribute, gate.at_most) for gate in config.gates.bias if gate.gating}
    assert gating == {
        (Metric.EQUAL_OPPORTUNITY_DIFFERENCE, "SEX", 0.10),
        (Metric.EQUALIZED_ODDS_DIFFERENCE, "SEX", 0.10),
    }
    assert {gate.attribute for gate in config.gates.bias if not gate.gating} == {"RAC1P"}
    assert config.gates.quality[0].metric is QualityMetric.ROC_AUC


def test_the_credit_configuration_reads_the_pinned_wheel() -> None:
    config = TrainingConfig.from_yaml(CONFIGS / "credit.yaml")

    assert config.source == german_credit()
    assert (config.favourable, config.protected) == (1, ("sex",))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_logged_reads_back_as_the_same_configuration(path: Path, tmp_path: Path) -> None:
    config = TrainingConfig.from_yaml(path)

    assert TrainingConfig.from_yaml(_written(tmp_path, config.to_yaml())) == config


def test_a_relative_file_is_found_beside_its_configuration(tmp_path: Path) -> None:
    source = TrainingConfig.from_yaml(_written(tmp_path, SMALL)).source

    assert isinstance(source, FileSource)
    assert source.path == tmp_path / "t.csv"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lable": "y"}, "lable: Extra inputs"),
        ({"label": None}, "label: "),
        ({"source": {"kind": "ftp"}}, "source: "),
        ({"source": {"kind": "file"}}, r"source\.path: Field required"),
        ({"split": {"test_fraction": 1.5}}, r"split\.test_fraction: "),
        ({"estimators": {"a": {"kind": "ridge", "parms": {}}}}, r"estimators\.a\.parms: "),
        ({"gates": {"quality": [{"metric": "roc_auc"}]}}, r"gates\.quality\.0: give either at_least or at_most"),
        ({"protected": ["y"]}, "both the label and a protected attribute"),
        ({"features": ["y"]}, "the label 'y' is listed under features"),
        ({"features": ["a"], "exclude": ["a"]}, "under features and under exclude"),
        ({"features": ["sex"], "protected": ["sex"]}, "set protected_as_features"),
        (
            {"gates": {"bias": [{"metric": "equalized_odds_difference", "attribute": "sex", "at_most": 0.1}]}},
            "gates.bias names 'sex'",
        ),
        ({"name": "a/b"}, "name: "),
    ],
)
def test_what_cannot_be_is_one_line_that_names_the_key(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        TrainingConfig.from_yaml(_written(tmp_path, {**SMALL, **change}))

    assert "\n" not in str(caught.value)
    assert "config.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [("a: [1\nb: 2", "not YAML in line"), ("- 1", "must be a mapping"), ("", "must be a mapping")],
)
def test_a_file_that_is_no_configuration_is_one_line(content: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        TrainingConfig.from_yaml(_written(tmp_path, content))


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        TrainingConfig.from_yaml(tmp_path / "none.yaml")


def test_a_bare_table_needs_no_more_than_its_target() -> None:
    config = TrainingConfig.for_table(Path("data/My Table (2).csv"), "y", ["sex", "race", "sex"])

    assert config.name == "my-table-2"
    assert config.protected == ("sex", "race")
    assert config.task is TaskChoice.AUTO
    assert config.gates.quality == config.gates.bias == ()


def test_a_bound_is_kept_when_it_is_met_exactly_and_never_by_nan() -> None:
    floor = QualityGate(metric=QualityMetric.ACCURACY, at_least=0.5)
    ceiling = QualityGate(metric=QualityMetric.BRIER, at_most=0.25)

    assert (floor.holds(0.5), floor.holds(0.49), floor.holds(float("nan"))) == (True, False, False)
    assert (ceiling.holds(0.25), ceiling.holds(0.26), ceiling.holds(float("nan"))) == (True, False, False)
