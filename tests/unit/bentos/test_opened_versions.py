"""A version of another's is made to answer by itself, in its own process, when its decision is made again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from bentos.companion import Companion
from bentos.reproducing import open_reproducer
from inference.columns import columns_from_rows
from monitoring.archive import Archive
from monitoring.feature_store import FeatureStore
from monitoring.predictions import SegmentWriter
from monitoring.shipper import Shipper
from replay.reproduction import Reproducer
from tests.fakes.preparers import HerePreparer
from tests.fakes.records import prediction_record
from tests.fakes.registry import FakeRegistry
from tests.fakes.strangers import pipeline_with_text, save

pytestmark = pytest.mark.long


@pytest.fixture
def reproducer(
    companion: Companion, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Reproducer]:
    """Makes what makes decisions again; `theirs/1` is a version that nobody compiled."""
    registry.register("theirs", save(pipeline_with_text(), tmp_path / "theirs"))
    preparer = HerePreparer(companion.home.environments, "theirs", is_trusted=True)
    monkeypatch.setattr("bentos.opened_versions.open_preparer", lambda _settings, _home: preparer)

    return partial(open_reproducer, companion)


def test_a_version_in_a_process_of_its_own_answers_again(
    reproducer: Callable[..., Reproducer], companion: Companion, registry: FakeRegistry
) -> None:
    making = reproducer(prepares=True)
    rows = pipeline_with_text().rows(3)
    home = companion.home
    with making.opened(making.cache.fetch(registry, registry.versions("theirs")[0])) as model:
        answered = model.predict(columns_from_rows(rows, model.signature), 3)
        scores = answered.scores(model.signature)
    assert scores is not None
    values = {"predictions": answered.prediction.tolist(), "scores": scores.tolist(), "features": rows}
    writer = SegmentWriter(home.spool, segment_bytes=10_000_000, spool_bytes=100_000_000)
    writer.append([prediction_record("r", 3, model="theirs", served_at=1_790_000_000.5, **values)])
    writer.close()
    Shipper(home.spool, companion.log, archives=True).ship()
    Archive(home.spool, companion.log, FeatureStore(home.features)).work()

    made = making.reproduce(making.find("r-1"))
    assert made.recomputed is not None
    assert (made.recomputed.runtime, made.recomputed.prediction) == ("runner", made.logged.prediction)
    assert made.recomputed.score == pytest.approx(made.logged.score, abs=1e-12)
    assert made.same or "process of its own" in made.reason
    assert made.version.digest is not None


def test_the_api_does_not_prepare_one_and_says_who_does(
    reproducer: Callable[..., Reproducer], companion: Companion
) -> None:
    making = reproducer(prepares=False)
    row = pipeline_with_text().rows(1)
    writer = SegmentWriter(companion.home.spool, segment_bytes=10_000_000, spool_bytes=100_000_000)
    writer.append([prediction_record("r", model="theirs", served_at=1_790_000_000.5, features=row)])
    writer.close()
    made = making.reproduce(making.find("r-0"))
    assert made.same is None
    assert "`fairmind reproduce`" in made.reason
