"""What holds for every test."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

# Two tests run at a time, and OpenMP's threads wait for each other by spinning: on a core that they do not have,
# boosting ten trees takes seconds. Read when the libraries are loaded, so it comes before them.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
for name in THREADS:
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

if TYPE_CHECKING:
    from tests.postgres import Postgres

# A slow machine is no failing law: what a test may take is pytest's `timeout`.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


GROUPS = ("clients", "debian", "long")
GROUP_SECONDS = 900
"""What a test of a group may take: minutes, and several times as many on a machine that is slow or busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test of a group its time, where it does not say itself what it may take."""
    for item in items:
        if item.get_closest_marker("timeout") is None and any(map(item.get_closest_marker, GROUPS)):
            item.add_marker(pytest.mark.timeout(GROUP_SECONDS))


def pytest_collection_finish() -> None:
    """Keep the collector from looking, again and again, through all that the tests have imported."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Seed what scikit-learn draws from where an estimator was given no `random_state`, before any fixture."""
    np.random.seed(0)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests; who stops it makes one of its own."""
    from tests.postgres import Postgres

    server = Postgres()
    yield server
    server.close()
