"""Shadow traffic: logged as pairs, seen by no client, in nobody's way."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from bentos import shadow
from bentos.worker import HEARTBEAT_SECONDS, Worker
from inference.errors import DeadlineExceededError
from monitoring.metrics import SHADOW_DURATION, SHADOWED
from rollout.assignment import hash_unit, threshold
from tests.unit.bentos.test_predict import spooled
from tests.unit.bentos.test_worker import until

UNITS = [None, *(f"person-{number}" for number in range(59))]
SHADOW = {"shadow_bp": 10_000, "rollout_id": "r-1", "epoch": 5, "on_missing_key": "request"}


def pairs(service: Any) -> list[dict[str, Any]]:
    return [line for line in spooled(service.home) if line.get("kind") == "shadow"]


def counted(worker: Worker, outcome: str) -> float:
    return worker.metrics.value(SHADOWED, "credit", outcome)


class Held:
    """Stands where the challenger's batch queue does: answers once it is let, or raises."""

    def __init__(self, batcher: Any, error: Exception | None = None) -> None:
        self._batcher, self._error, self.let = batcher, error, asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batcher, name)

    async def predict(self, *arguments: Any) -> Any:
        if self._error is not None:
            raise self._error
        await self.let.wait()
        return await self._batcher.predict(*arguments)


def hold(worker: Worker, error: Exception | None = None) -> Held:
    challenger = worker.models["credit"].challenger
    assert challenger is not None
    held = Held(challenger.batcher, error)
    object.__setattr__(challenger, "batcher", held)
    return held


def test_sampled_units_are_pairs_in_the_log_and_every_answer_is_the_champions(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, **SHADOW | {"shadow_bp": 4_000})

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        instances = [one | {"unit": unit} for one, unit in zip(credit.instances(60), UNITS, strict=True)]
        response = await client.post("/predict", json={"instances": instances})
        answers = response.json()["predictions"]
        assert {(one["variant"], one["model_version"]) for one in answers} == {("champion", "1")}
        assert [one["probability"] for one in answers] == pytest.approx(credit.probabilities(60), abs=1e-9)
        await until(lambda: pairs(service))
        answer, pair = spooled(service.home)
        request_id = response.headers["x-fairmind-prediction-id"]
        keys = [unit or f"{request_id}-{number}" for number, unit in enumerate(UNITS)]
        sampled = [
            number for number, key in enumerate(keys) if hash_unit("r-001", key, "shadow") < threshold(4_000)
        ]
        assert pair["positions"] == sampled
        assert 10 < len(sampled) < 40
        assert (answer["cohorts"], pair["status"], pair["request_id"]) == (None, "ok", request_id)
        assert (pair["rollout_id"], pair["epoch"], pair["challenger_version"]) == ("r-1", 5, "2")
        for name in ("unit_hashes", "predictions", "scores"):
            said = pair[name if name == "unit_hashes" else f"champion_{name}"]
            assert said == [answer[name][number] for number in sampled]
        assert (pair["champion_latency_us"], pair["served_at"]) == (answer["latency_us"], answer["served_at"])
        expected = credit_challenger.model.predict_proba(credit.frame.head(60))[sampled, 1]
        assert pair["challenger_scores"] == pytest.approx(list(expected), abs=1e-9)
        assert (
            pair["challenger_predictions"]
            == credit_challenger.model.predict(credit.frame.head(60))[sampled].tolist()
        )
        assert pair["challenger_latency_us"] > 0
        assert counted(worker, "scored") == len(sampled)
        assert sum(worker.metrics.histogram(SHADOW_DURATION, "credit").counts) == 1

    service.run(scenario)


def test_rows_of_the_challenger_of_a_version_asked_for_and_of_no_sample_are_no_pairs(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    async def ask(client: httpx.AsyncClient, worker: Worker) -> None:
        for model, unit in ((None, None), (None, "u"), ("credit/1", "u"), ("credit@challenger", "u")):
            body = {"instances": credit.instances(1, **({"unit": unit} if unit else {}))}
            await client.post("/predict", json=body | ({"model": model} if model else {}))

    service.serve(credit, credit_challenger)
    service.run(ask)
    service.serve(credit, credit_challenger, **SHADOW | {"holdback_bp": 0, "on_missing_key": "request"})
    service.run(ask)
    assert pairs(service) == []


def test_nobody_waits_for_a_challenger_that_is_slow_and_what_does_not_fit_is_dropped(
    service: Any, credit: Any, credit_challenger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.serve(credit, credit_challenger, **SHADOW)
    service.serving = service.serving.model_copy(update={"shadow_queue_rows": 20})
    monkeypatch.setattr(shadow, "_DRAIN_SECONDS", 0.01)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        hold(worker)
        body = {"instances": credit.instances(2, unit="u")}
        for _ in range(40):
            assert (await client.post("/predict", json=body)).status_code == 200
            await asyncio.sleep(0)
        assert counted(worker, "scored") == 0
        assert counted(worker, "dropped") >= 80 - 20 - 2 * 8

    service.run(scenario)
    found = pairs(service)
    assert (len(found), {line["status"] for line in found}) == (40, {"dropped"})
    assert {len(line["champion_predictions"]) for line in found} == {2}
    assert {line["challenger_predictions"] for line in found} == {None}


def test_what_waits_when_the_worker_ends_is_scored(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit, credit_challenger, **SHADOW)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        held = hold(worker)
        for _ in range(12):
            await client.post("/predict", json={"instances": credit.instances(1, unit="u")})
        asyncio.get_running_loop().call_later(0.05, held.let.set)

    service.run(scenario)
    assert [line["status"] for line in pairs(service)] == ["ok"] * 12


@pytest.mark.parametrize(
    ("error", "status"), [(DeadlineExceededError(), "timeout"), (RuntimeError("unforeseen"), "error")]
)
def test_a_challenger_that_fails_is_in_the_log_with_the_reason(
    service: Any, credit: Any, credit_challenger: Any, error: Exception, status: str
) -> None:
    service.serve(credit, credit_challenger, **SHADOW)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        hold(worker, error)
        assert (await client.post("/predict", json={"instances": credit.instances(1)})).status_code == 200
        await until(lambda: pairs(service))
        assert counted(worker, "failed") == 1

    service.run(scenario)
    (pair,) = pairs(service)
    assert (pair["status"], pair["challenger_predictions"], pair["champion_predictions"]) == (status, None, [0])


def test_rows_that_do_not_fit_the_challengers_signature_are_refused_there_alone(
    service: Any, credit: Any, strict: Any
) -> None:
    """The challenger was trained on other columns: the champion's callers cannot know."""
    service.serve(credit, strict, **SHADOW)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.post("/predict", json={"instances": credit.instances(2)})).status_code == 200
        await until(lambda: pairs(service))

    service.run(scenario)
    assert [(pair["status"], pair["positions"]) for pair in pairs(service)] == [("refused", [0, 1])]


def test_of_a_large_request_the_first_rows_are_scored_and_one_waits_at_a_time(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, **SHADOW)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        held = hold(worker)
        body = {"instances": credit.instances(400) * 3}
        for _ in range(
            3
        ):  # the first is taken from the queue to be scored, the second waits, the third is too much
            await client.post("/predict", json=body)
            await asyncio.sleep(0.02)
        held.let.set()
        await until(lambda: len(pairs(service)) == 3)

    service.run(scenario)
    assert sorted(pair["status"] for pair in pairs(service)) == ["dropped", "ok", "ok"]
    assert {tuple(pair["positions"]) for pair in pairs(service)} == {tuple(range(100))}
    assert all(type(value) is int for pair in pairs(service) for value in pair["champion_predictions"])


def test_a_state_that_is_not_renewed_ends_the_shadow(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit, credit_challenger, **SHADOW)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert worker.models["credit"].shadows
        service.age_state(HEARTBEAT_SECONDS + 1)
        await until(lambda: worker.is_stale)
        await client.post("/predict", json={"instances": credit.instances(1)})
        assert not worker.models["credit"].shadows

    service.run(scenario)
    assert pairs(service) == []


def test_a_log_that_takes_nothing_more_costs_the_pairs_and_no_answer(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    from monitoring.errors import SpoolFullError

    service.serve(credit, credit_challenger, **SHADOW)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        def full(_records: Any) -> None:
            raise SpoolFullError(1, "the database")

        worker.log.shadow = full  # type: ignore[method-assign] # only pairs find it full
        assert (await client.post("/predict", json={"instances": credit.instances(1)})).status_code == 200
        await until(lambda: counted(worker, "scored") == 1)

    service.run(scenario)
    assert pairs(service) == []
