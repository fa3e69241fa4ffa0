from pathlib import Path

import pytest

from inference.signature import Task
from loadtests.bench.models import CLASSES, FOREST, MANY_COLUMNS, BenchModel, configuration, table_of, wide
from training.config import TrainingConfig
from training.estimators import kind_of


@pytest.mark.parametrize("model", [*CLASSES, FOREST, *map(wide, MANY_COLUMNS)], ids=lambda model: model.name)
def test_every_model_of_the_benchmark_can_be_trained(
    model: BenchModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = TrainingConfig.parse(configuration(model), where=model.name)
    assert list(config.estimators) == list(model.estimators)
    for name, estimator in config.estimators.items():
        assert kind_of(name, estimator, Task.BINARY)


@pytest.mark.parametrize("columns", MANY_COLUMNS)
def test_a_wide_model_has_as_many_columns_as_its_name_says(
    columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = table_of(wide(columns), tmp_path)
    assert len(frame.columns) == columns + 1
    assert set(frame["label"]) == {0, 1}
