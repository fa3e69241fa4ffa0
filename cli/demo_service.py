"""What the demo asks of the service it started, over HTTP as anybody would."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from training.config import TrainingConfig

_TIMEOUT = 60.0
_FOLLOW_SECONDS = 120.0


class SplitNotFollowedError(Exception):
    """The workers did not take up the new weight in time."""

    def __init__(self) -> None:
        super().__init__(f"the workers did not follow the new weight within {_FOLLOW_SECONDS:.0f} s")


def model_columns(url: str, model: str) -> list[str]:
    """Return the names of the columns the model takes."""
    answer = httpx.get(f"{url}/v2/models/{model}", timeout=_TIMEOUT, trust_env=False).raise_for_status()
    return [tensor["name"] for tensor in answer.json()["inputs"]]


def split(url: str, model: str, weight: float, *, workers: int) -> str:
    """Start a rollout with one weight, wait until every worker follows it, and return its id.

    Raises:
        SplitNotFollowedError: They did not.
    """
    plan = {"model": model, "steps": [{"weight": weight}]}
    answer = httpx.post(f"{url}/api/v1/rollouts", json=plan, timeout=_TIMEOUT, trust_env=False)
    rollout_id: str = answer.raise_for_status().json()["id"]
    agreeing = 0
    deadline = time.monotonic() + _FOLLOW_SECONDS
    while agreeing < 10 * workers:  # a new connection may reach any worker: so many in a row must agree
        if time.monotonic() > deadline:
            raise SplitNotFollowedError
        served = httpx.get(f"{url}/readyz", timeout=_TIMEOUT, trust_env=False).json()["models"].get(model, {})
        agreeing = agreeing + 1 if served.get("weight") == weight else 0
        time.sleep(0.02)
    return rollout_id


def bias_tests(url: str, config: TrainingConfig, since: datetime) -> dict[str, dict[str, Any]]:
    """Return the bias test of each variant on the traffic served since then, by the gates it was trained with."""
    gates = config.gates
    tests = {}
    for variant in ("champion", "challenger"):
        body = {
            "model": config.name,
            "favourable": config.favourable,
            "protected": list(config.protected),
            "window": {"since": since.isoformat(), "variant": variant},
            "policy": gates.bias_policy.model_dump(mode="json"),
            "alpha": gates.alpha,
            "minimum_rows": gates.minimum_rows,
        }
        answer = httpx.post(f"{url}/bias_test", json=body, timeout=_TIMEOUT, trust_env=False)
        tests[variant] = answer.raise_for_status().json()
    return tests
