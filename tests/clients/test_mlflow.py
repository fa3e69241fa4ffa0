"""MLflow's own scoring client."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from tests.clients.conftest import Drive, Server

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def found(drive: Drive, server: Server) -> Any:
    return drive("mlflow", rows=server.rows(50))


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ("frame", 50),
        ("one row", 1),
        ("10,000 rows", 10_000),
        ("other order, a column more", 50),
        ("array", 50),
        ("params", 50),
        ("units", 50),
    ],
)
def test_a_data_frame_is_answered_with_the_models_labels(found: Any, server: Server, asked: str, rows: int) -> None:
    assert found[asked] == server.expected(rows)[0]


def test_the_version_is_mlflows(found: Any) -> None:
    assert found["version"] == version("mlflow")


def test_what_is_refused_says_why(found: Any) -> None:
    assert "error code 400" in found["refused"]
    assert "column 'age': is missing" in found["refused"]
