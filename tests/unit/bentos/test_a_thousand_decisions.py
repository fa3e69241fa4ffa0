"""A thousand decisions of three versions that workers answered, made again after a restart without a registry."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from sqlalchemy import select

from bentos.companion import Companion
from bentos.control_api import control_api
from bentos.worker import Worker
from database.engine import reading
from monitoring.archive import Archive
from monitoring.bulk_blocks import iterate_bulk_blocks
from monitoring.feature_store import FeatureStore
from monitoring.shipper import Shipper
from monitoring.tables import BULK_BLOCK, PREDICTION
from registry.digest import digest_folder
from registry.versions import DIGEST_TAG
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.conftest import Service
from tests.unit.replay.deployment import people, write_versions

pytestmark = pytest.mark.long

MADE_AGAIN = 1_000
SIZES = (1, 1, 1, 2, 3, 7, 40, 300)


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    return write_versions(tmp_path / "versions")


@pytest.fixture
def registry(folders: dict[str, Path]) -> FakeRegistry:
    registry = FakeRegistry()
    for number in sorted(folders):
        registry.register("credit", folders[number], {DIGEST_TAG: digest_folder(folders[number])})
    return registry


def test_a_thousand_decisions_are_made_again_bit_for_bit(
    tmp_path: Path, folders: dict[str, Path], registry: FakeRegistry, new_companion: Callable[..., Companion]
) -> None:
    before = new_companion()
    service = Service(before.home.root)
    for number, folder in folders.items():
        service.serve(folder, version=number)
        service.run(lambda client, worker, seed=int(number): answer(client, worker, seed))
        before.cache.fetch(registry, registry.versions("credit")[-int(number)])
    Shipper(before.home.spool, before.log, archives=True).ship()
    Archive(before.home.spool, before.log, FeatureStore(before.home.features)).work()
    ids = logged_ids(before)
    assert len(ids) > 3 * MADE_AGAIN
    before.stop()

    registry.away = True
    after = new_companion()
    chosen = random.Random(0).sample(ids, MADE_AGAIN)
    made = asyncio.run(reproduced(control_api(after, tmp_path), chosen))
    assert [(one["prediction_id"], one["reason"]) for one in made if one["same"] is not True] == []
    by_version = {number: [one for one in made if one["version"]["version"] == number] for number in folders}
    assert all(len(found) > 200 for found in by_version.values())
    assert {one["threshold"] for one in by_version["3"]} == {0.4}


async def answer(client: httpx.AsyncClient, worker: Worker, seed: int) -> None:
    """Ask a worker many things at once, so that requests of different sizes share batches; one of them is bulk."""
    drawn = random.Random(seed)
    rows = [
        {str(name): value for name, value in row.items()} for row in people(3_000, seed=seed).to_dict("records")
    ]
    until = time.monotonic() + 30
    while not worker.models:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
    sizes = [drawn.choice(SIZES) for _ in range(60)]
    requests = [post_rows(client, drawn.sample(rows, size)) for size in sizes]
    requests += [post_rows(client, rows[:1_200]), post_tensors(client, rows[:500]), post_tensors(client, rows[:1])]
    for one in await asyncio.gather(*requests):
        assert one.status_code == 200, one.text


async def post_rows(client: httpx.AsyncClient, rows: list[dict[str, Any]]) -> httpx.Response:
    body = {"instances": [{"features": row} for row in rows]}
    return await client.post("/predict", json=body)


async def post_tensors(client: httpx.AsyncClient, rows: list[dict[str, Any]]) -> httpx.Response:
    frame = pd.DataFrame(rows)
    kinds = {"age": "FP64", "amount": "FP32", "job": "BYTES"}
    inputs = [
        {"name": name, "datatype": kind, "shape": [len(rows)], "data": frame[name].tolist()}
        for name, kind in kinds.items()
    ]
    return await client.post("/v2/models/credit/infer", json={"inputs": inputs})


def logged_ids(companion: Companion) -> list[str]:
    with reading(companion.log) as connection:
        ids = list(
            connection.execute(select(PREDICTION.c.prediction_id).order_by(PREDICTION.c.prediction_id)).scalars()
        )
        for block in iterate_bulk_blocks(connection, select(BULK_BLOCK).order_by(BULK_BLOCK.c.request_id)):
            ids += block.prediction_ids()
    return ids


async def reproduced(api: Any, ids: list[str]) -> list[Any]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://test") as client:
        return [(await client.get(f"/api/v1/predictions/{name}/reproduction")).json() for name in ids]
