"""Bias tests: asked for at the same time they do not disturb each other; a version need not serve to be tested."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sqlalchemy import Engine

from assessment.data_sets import DataSets
from bentos.bias_test_bodies import parse
from bentos.bias_tests import BiasTests
from bentos.companion import Companion
from bentos.errors import ModelNotServedError, NotReadyError
from compilation.compile import compile_model
from database.home import Home
from registry.errors import ModelNotFoundError
from rollout.serving_store import follow_aliases, write_state
from tests.fakes.databases import migrated_engine
from tests.fakes.registry import FakeRegistry


@pytest.fixture
def control(tmp_path: Path) -> Engine:
    return migrated_engine(tmp_path / "fairmind.db", "control")


def test_tests_of_tree_models_from_several_threads_each_get_their_own_answer(
    credit: Any, control: Engine, tmp_path: Path
) -> None:
    label = (credit.frame["age"] > 45).astype(int)
    columns = credit.model.named_steps["columns"]
    trees = Pipeline([("columns", columns), ("model", GradientBoostingClassifier(n_estimators=20, random_state=0))])
    trees.fit(credit.frame, label)
    compile_model(trees, credit.frame).save(tmp_path / "fairmind")
    with control.begin() as connection:
        write_state(connection, "credit", datetime.now(UTC), champion_version="1", champion_digest=None)
    companion = SimpleNamespace(
        control=control, folders=SimpleNamespace(find=lambda *_: tmp_path), home=Home(tmp_path / "home")
    )
    tests = BiasTests(cast("Companion", companion), DataSets(control, tmp_path / "datasets", 10))

    by_age = credit.frame.sort_values("age")
    parts = [by_age.iloc[:300], by_age.iloc[100:400]]
    expected = [trees.predict(part).mean() for part in parts]
    assert expected[0] != expected[1]
    wrong: list[float] = []

    def ask(index: int) -> None:
        rows = parts[index].to_dict("records")
        body = {"favourable": 1, "instances": [{"features": row, "protected": {"g": "a"}} for row in rows]}
        for _ in range(20):
            (attribute,) = tests.run(parse(body)[0]).attributes
            rate = attribute.groups[0].selection_rate.value
            if rate is None or not np.isclose(rate, expected[index]):
                wrong.append(rate or 0.0)

    threads = [threading.Thread(target=ask, args=(index,)) for index in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_version_made_elsewhere_that_serves_nobody_is_prepared_when_its_test_is_asked_for(
    companion: Companion, registry: FakeRegistry, tmp_path: Path
) -> None:
    follow_aliases(companion.control, registry.aliased(), datetime.now(UTC), seen={})
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "MLmodel").write_text("flavors: {}\n")
    registry.register("credit", theirs)
    rows = [{"features": {"age": 41.0}, "protected": {"g": "a"}}]
    body = {"model": "credit", "version": "4", "favourable": 1, "instances": rows}
    tests, request = BiasTests(companion, DataSets(companion.control, tmp_path, 10)), parse(body)[0]
    with pytest.raises(NotReadyError, match=r"credit/4 .*waits for its turn.*; ask again"):
        tests.run(request)
    companion._preparations.work()
    with pytest.raises(NotReadyError, match="flavours: none"):  # what is wrong with its files
        tests.run(request)


def test_a_registered_version_of_a_model_that_is_not_served_is_tested_when_it_is_named(
    companion: Companion, registry: FakeRegistry, credit: Any, tmp_path: Path
) -> None:
    version = registry.register("shelved", credit.folder).version
    rows = [{**row, "protected": {"g": "a"}} for row in credit.instances(5)]
    tests = BiasTests(companion, DataSets(companion.control, tmp_path, 10))
    body = {"model": "shelved", "favourable": 1, "instances": rows}
    with pytest.raises(ModelNotServedError):
        tests.run(parse(body)[0])
    result = tests.run(parse({**body, "version": version})[0])
    assert (result.model, result.model_version, result.rows) == ("shelved", version, 5)
    with pytest.raises(ModelNotFoundError):
        tests.run(parse({**body, "version": "99"})[0])
    with pytest.raises(ModelNotFoundError):
        tests.run(parse({**body, "alias": "nobody"})[0])
