"""BentoML's clients against a server: JSON on standard input says where and what to ask, JSON comes out."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException

ASKED = json.load(sys.stdin)
URL = f"http://127.0.0.1:{ASKED['http']}"
INSTANCES = [{"features": row, "unit": f"person-{place}"} for place, row in enumerate(ASKED["rows"])]
WRONG = [{"features": {"age": "old"}}]
TEST = {"model": ASKED["model"], "favourable": "gold", "minimum_rows": 1, "instances": ASKED["labelled"]}


def refused(call: Callable[[], Any]) -> list[str]:
    """Return kind and words of a request that the server refuses."""
    try:
        call()
    except BentoMLException as error:
        return [str(int(error.error_code)), str(error)]
    return ["200", "nothing was refused"]


def sync() -> dict[str, Any]:
    """Return what the client got that waits."""
    with bentoml.SyncHTTPClient(URL) as client:
        return {
            "routes": sorted(client.endpoints),
            "ready": client.is_ready(),
            "predict": client.predict(instances=INSTANCES),
            "bias_test": client.bias_test(**TEST),
            "wrong row": refused(lambda: client.predict(instances=WRONG)),
            "wrong model": refused(lambda: client.predict(instances=INSTANCES, model="nobody")),
            "wrong test": refused(lambda: client.bias_test(favourable="gold")),
        }


async def without_waiting() -> dict[str, Any]:
    """Return what the client got that does not."""
    async with bentoml.AsyncHTTPClient(URL) as client:
        answers = await asyncio.gather(*(client.predict(instances=INSTANCES) for _ in range(8)))
        return {"predict": answers, "bias_test": await client.bias_test(**TEST)}


sys.stdout.write(json.dumps({"sync": sync(), "async": asyncio.run(without_waiting())}) + "\n")
