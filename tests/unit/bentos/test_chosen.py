"""Overrides on every protocol: the variant that was signed for answers, and such rows are in no evidence."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from bentos.errors import HTTP_STATUSES
from bentos.settings import ServingSettings
from bentos.worker import HEARTBEAT_SECONDS, Worker
from rollout.errors import OverrideRefusedError
from rollout.overrides import sign
from tests.unit.bentos.grpc_client import Client, request, run
from tests.unit.bentos.test_predict import spooled
from tests.unit.bentos.test_worker import until

SECRET = "correct horse battery staple"


def signed(variant: str, *, model: str = "credit", secret: str = SECRET, seconds: int = 60) -> dict[str, str]:
    return {"x-fairmind-override": sign(secret, model, variant, int(time.time()) + seconds)}


@pytest.fixture
def split(service: Any, credit: Any, credit_challenger: Any) -> Any:
    """A model that is split, and shadowed, with a secret for overrides."""
    service.serving = ServingSettings(override_secret=SECRET)
    service.serve(credit, credit_challenger, weight_bp=5_000, shadow_bp=10_000, rollout_id="r-1")
    return service


def bodies(credit: Any) -> dict[str, Any]:
    row = credit.instances(1)[0]["features"]
    tensors = [
        {"name": name, "datatype": "BYTES" if type(value) is str else "FP64", "shape": [1], "data": [value]}
        for name, value in row.items()
    ]
    return {
        "/predict": {"instances": [{"features": row, "unit": "u"}]},
        "/v2/models/credit/infer": {"inputs": tensors, "parameters": {"unit": "u"}},
        "/invocations": {"dataframe_records": [row]},
        "/v1/models/credit:predict": {"instances": [row]},
    }


def test_whoever_has_a_signature_is_answered_by_that_variant_and_is_in_no_evidence(split: Any, credit: Any) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for path, body in bodies(credit).items():
            for variant, version in (("challenger", "2"), ("champion", "1")):
                answer = await client.post(path, json=body, headers=signed(variant))
                assert answer.status_code == 200, answer.text
                line = spooled(split.home)[-1]
                assert (line["variant"], line["model_version"], line["cohorts"]) == (variant, version, ["override"])

    split.run(scenario)
    assert {line.get("kind") for line in spooled(split.home)} == {None}, "neither exposures nor shadows"


def test_over_grpc_it_is_metadata(split: Any, credit: Any) -> None:
    message = request("credit", {name: [value] for name, value in credit.instances(1)[0]["features"].items()})

    async def scenario(client: Client) -> None:
        answer = await client.call("ModelInfer", message, metadata=tuple(signed("challenger").items()))
        assert answer.model_version == "2"
        wrong = tuple(signed("challenger", secret="another secret of that length").items())
        code, said = await client.refused("ModelInfer", message, metadata=wrong)
        assert code == "PERMISSION_DENIED"
        assert "signature" in said

    run(split, scenario)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ({"x-fairmind-override": "challenger"}, "its form is"),
        (signed("challenger", secret="another secret of that length"), "signature"),
        (signed("challenger", model="other"), "signature"),
        (signed("challenger", seconds=-1), "expired"),
        (signed("challenger", seconds=200_000), "more than a day"),
    ],
)
def test_one_that_does_not_hold_is_refused_and_never_ignored(
    split: Any, credit: Any, override: dict[str, str], said: str
) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for path, body in bodies(credit).items():
            answer = await client.post(path, json=body, headers=override)
            assert answer.status_code == HTTP_STATUSES[OverrideRefusedError][0] == 403
            assert said in answer.text
            assert override["x-fairmind-override"] not in answer.text
        assert spooled(split.home) == []

    split.run(scenario)


def test_without_a_secret_none_is_taken(split: Any, credit: Any) -> None:
    split.serving = ServingSettings()

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answer = await client.post("/predict", json={"instances": credit.instances(1)}, headers=signed("champion"))
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "override_refused"
        assert "FAIRMIND_BENTOS_OVERRIDE_SECRET is unset" in answer.json()["error"]["message"]

    split.run(scenario)


def test_a_variant_that_cannot_be_had_and_a_version_beside_it_are_refused(split: Any, credit: Any) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        async def asked(variant: str, model: str = "credit") -> int:
            body = {"model": model, "instances": credit.instances(1)}
            return (await client.post("/predict", json=body, headers=signed(variant))).status_code

        assert [await asked("challenger-2"), await asked("challenger", "credit/1")] == [404, 400]
        split.age_state(HEARTBEAT_SECONDS + 1)
        await until(lambda: worker.is_stale)
        assert [await asked("challenger"), await asked("champion")] == [503, 200]

    split.run(scenario)


@pytest.mark.parametrize("short", ["x" * 15, "hunter2"])
def test_a_short_secret_is_no_setting_and_an_empty_one_is_none(short: str) -> None:
    with pytest.raises(ValueError, match="at least 16 characters") as refused:
        ServingSettings(override_secret=short)
    assert short not in str(refused.value.errors(include_input=False))
    assert ServingSettings(override_secret="").override_secret is None
