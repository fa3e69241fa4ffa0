"""Asking the control API: a rollout to begin with, and what its refusals say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

Api = Callable[..., httpx.Response]
PLAN: dict[str, Any] = {"model": "credit", "steps": [{"weight": 0.2}]}


def refused(response: httpx.Response) -> tuple[int, str, str]:
    assert set(response.json()) == {"error"}, response.text
    error = response.json()["error"]
    assert set(error) == {"code", "message", "request_id"}
    assert error["request_id"]
    return response.status_code, error["code"], error["message"]


def start(api: Api, **changes: Any) -> dict[str, Any]:
    response = api("POST", "/api/v1/rollouts", json=PLAN | changes)
    assert response.status_code == 201, response.text
    rollout: dict[str, Any] = response.json()
    return rollout
