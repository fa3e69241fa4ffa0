"""Models of people who never heard of this project, on real processes: named, served, adopted, served the same."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.store import embedded_tracking_uri, prepare_embedded_store
from rollout.serving_state import parse_file
from tests.fakes.strangers import Stranger, forest_on_a_matrix, log, pipeline_with_text
from tests.waiting import until

ROWS = 20


@pytest.fixture(scope="module")
def strangers() -> dict[str, Stranger]:
    return {"pickled": pipeline_with_text(), "unsigned": pipeline_with_text(1), "matrix": forest_on_a_matrix()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, strangers: dict[str, Stranger]) -> Path:
    """An MLflow store of somebody's own, with three models and no alias."""
    folder = tmp_path_factory.mktemp("theirs")
    prepare_embedded_store(folder / "mlflow.db", folder / "artifacts")
    uri = embedded_tracking_uri(folder / "mlflow.db")
    # MLflow's own default puts the artifacts of a database store beside the working directory.
    with contextlib.chdir(folder):
        log(strangers["pickled"], "pickled", uri)
        skops: dict[str, Any] = {"serialization_format": "skops", "skops_trusted_types": ["numpy.dtype"]}
        log(strangers["unsigned"], "unsigned", uri, signed=False, example=False, **skops)
        log(strangers["matrix"], "matrix", uri)
    return folder


def loaded_from(home: Path, name: str) -> Path:
    """Return the folder that the workers are told to load the champion from."""
    champion = parse_file((home / "run" / "serving.json").read_bytes()).models[name].champion
    return Path(champion.folder or home)


def answers(served: Any, name: str, stranger: Stranger) -> list[float]:
    predictions = served.predict([{"features": row} for row in stranger.rows(ROWS)], name)
    return [one["probability"] for one in predictions]


@pytest.mark.long
def test_models_named_in_the_settings_are_served_and_adopted_ones_answer_the_same(
    tmp_path: Path, store: Path, strangers: dict[str, Stranger], new_deployment: Callable[[Path], Any]
) -> None:
    uri = embedded_tracking_uri(store / "mlflow.db")
    deployment = new_deployment(tmp_path / "home")
    deployment.settings.update(
        {
            "MLFLOW_TRACKING_URI": uri,
            "FAIRMIND_REGISTRY_TRUSTED": uri,
            "FAIRMIND_REGISTRY_POLL_SECONDS": "0.5",
            "FAIRMIND_BENTOS_MODELS": "pickled,unsigned/1,matrix,nobody",
        }
    )
    with deployment.serving() as served:
        served.wait_for_workers(lambda detail: set(strangers) <= set(detail["models"]))
        assert "nobody" in served.get("/readyz").json()["problems"]
        for name, stranger in strangers.items():
            np.testing.assert_allclose(answers(served, name, stranger), stranger.probabilities(ROWS), atol=1e-9)
        adopted = deployment.fairmind("models", "adopt", "pickled/1")
        assert (adopted["compiled"], adopted["copied"]) == (True, True)
        local = deployment.fairmind("models", "adopt", "matrix/1", "--local")
        assert (local["compiled"], local["copied"]) == (True, False)
        folders = {"pickled": deployment.home / "models", "matrix": deployment.home / "compiled"}
        for name, folder in folders.items():
            until(lambda n=name, f=folder: loaded_from(deployment.home, n).is_relative_to(f))
            served.wait_for_workers(lambda detail, n=name: not [k for k in detail["problems"] if k.startswith(n)])
            np.testing.assert_allclose(
                answers(served, name, strangers[name]), strangers[name].probabilities(ROWS), atol=1e-6
            )
