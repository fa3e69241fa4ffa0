"""While a model is split, rows in a cohort are logged before it runs, and end with their answer or the reason."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from bentos.exposed import Exposed
from bentos.worker import Worker
from inference.errors import DeadlineExceededError, QueueFullError
from monitoring.errors import SpoolFullError
from rollout.assignment import cohort, hash_unit
from tests.unit.bentos.test_predict import spooled

UNITS = [None, *(f"person-{number}" for number in range(39))]


def compared(unit: str | None) -> bool:
    return unit is not None and cohort(hash_unit("r-001", unit), 2000) in {"challenger", "control"}


def test_rows_in_a_cohort_are_in_the_log_before_their_answer_and_no_others_are(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, weight_bp=2000, rollout_id="r-1", epoch=5)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        instances = [
            one | {"unit": unit, "id": f"mine-{number}", "protected": {"sex": "f"}}
            for number, (one, unit) in enumerate(zip(credit.instances(40), UNITS, strict=True))
        ]
        await client.post("/predict", json={"instances": instances})
        lines = spooled(service.home)
        kinds = [line.get("kind") for line in lines]
        assert kinds == ["exposure", "exposure", None, None]
        begun = {position: line for line in lines[:2] for position in line["positions"]}
        assert set(begun) == {number for number, unit in enumerate(UNITS) if compared(unit)}
        for line in lines[:2]:
            assert (line["status"], line["latency_us"], line["rollout_id"], line["epoch"]) == (None, None, "r-1", 5)
            assert line["caller_ids"] == [f"mine-{position}" for position in line["positions"]]
            assert line["protected"] == [{"sex": "f"}] * len(line["positions"])
            assert set(line["cohorts"]) == {"challenger" if line["variant"] == "challenger" else "control"}
        hashes = {
            position: unit
            for line in lines[2:]
            for position, unit in zip(line["positions"], line["unit_hashes"], strict=True)
        }
        for line in lines[:2]:
            assert line["unit_hashes"] == [hashes[position] for position in line["positions"]]
        assert [line["status"] for line in lines[2:]] == ["ok", "ok"]

    service.run(scenario)


def test_requests_without_a_split_a_unit_or_a_cohort_are_in_the_log_once(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    champion_only = next(unit for unit in UNITS[1:] if not compared(unit))

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for more in ({}, {"unit": champion_only}):
            await client.post("/predict", json={"instances": credit.instances(1, **more)})
        body = {"model": "credit@challenger", "instances": credit.instances(1, unit="u")}
        await client.post("/predict", json=body)
        assert [line.get("kind") for line in spooled(service.home)] == [None] * 3

    service.serve(credit, credit_challenger, weight_bp=2000)
    service.run(scenario)


def test_rows_that_do_not_fit_what_they_are_given_end_as_refused(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        bad = {"features": {"age": "old", "amount": 1.0, "job": "nurse"}, "unit": "u"}
        assert (await client.post("/predict", json={"instances": [bad]})).status_code == 422
        assert [line["status"] for line in spooled(service.home)] == [None, "refused"]

    service.run(scenario)


class Failing:
    """Stands where a variant's batch queue does: raises what it is given."""

    def __init__(self, batcher: Any, error: BaseException) -> None:
        self._batcher, self._error = batcher, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batcher, name)

    async def predict(self, *_: Any) -> Any:
        raise self._error


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (DeadlineExceededError(), 504, "timeout"),
        (QueueFullError(retry_after=1.0), 503, "overloaded"),
        (RuntimeError("unforeseen"), 500, "error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_rows_that_get_no_answer_end_with_the_reason(
    service: Any, credit: Any, credit_challenger: Any, error: Exception, code: int, status: str
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000, rollout_id="r-1")

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        served = worker.models["credit"]
        for variant in served.variants():
            object.__setattr__(variant, "batcher", Failing(variant.batcher, error))
        answer = await client.post("/predict", json={"instances": credit.instances(2, unit="u")})
        assert answer.status_code == code
        first, last = spooled(service.home)
        assert (first["kind"], first["status"], first["positions"]) == ("exposure", None, [0, 1])
        assert (last["kind"], last["status"], last["positions"]) == ("exposure", status, [0, 1])
        assert last["request_id"] == first["request_id"]
        assert last["latency_us"] > 0

    service.run(scenario)


def test_what_one_variant_cannot_answer_is_no_error_of_the_other(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000, rollout_id="r-1")

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        challenger = worker.models["credit"].challenger
        assert challenger is not None
        object.__setattr__(challenger, "batcher", Failing(challenger.batcher, RuntimeError("unforeseen")))
        instances = [one | {"unit": unit} for one, unit in zip(credit.instances(20), UNITS[1:21], strict=True)]
        assert (await client.post("/predict", json={"instances": instances})).status_code == 500
        ended = {line["variant"]: line["status"] for line in spooled(service.home)[2:]}
        assert ended == {"challenger": "error", "champion": "beside"}

    service.run(scenario)


def test_a_slow_variant_is_slow_by_itself(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000, rollout_id="r-1")

    class Slow(Failing):
        async def predict(self, *asked: Any) -> Any:
            await asyncio.sleep(0.1)
            return await self._batcher.predict(*asked)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        challenger = worker.models["credit"].challenger
        assert challenger is not None
        object.__setattr__(challenger, "batcher", Slow(challenger.batcher, RuntimeError()))
        instances = [one | {"unit": unit} for one, unit in zip(credit.instances(20), UNITS[1:21], strict=True)]
        assert (await client.post("/predict", json={"instances": instances})).status_code == 200
        took = {line["variant"]: line["latency_us"] for line in spooled(service.home)[2:]}
        assert took["challenger"] > took["champion"] + 50_000

    service.run(scenario)


def test_a_request_that_is_given_up_ends_as_cancelled(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        class Request:
            id, protocol, started = "a", "predict", 0.0
            caller_ids = protected = None
            rows = 1

        exposed = Exposed(worker.models["credit"], Request(), ["control"], ["u"])  # type: ignore[arg-type] # what it reads
        exposed.begin(worker.log, [(worker.models["credit"].champion, (0,))])
        exposed.end(worker.log, asyncio.CancelledError())
        assert [line["status"] for line in spooled(service.home)] == [None, "cancelled"]

    service.run(scenario)


def test_a_full_spool_refuses_before_the_model_runs_unless_it_may_serve(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        def full(_records: Any) -> None:
            raise SpoolFullError(1)

        worker.log.expose = full  # type: ignore[method-assign] # only exposures find it full
        answer = await client.post("/predict", json={"instances": credit.instances(1, unit="u")})
        assert answer.status_code == (503 if worker.monitoring.on_full == "refuse" else 200)
        assert len(spooled(service.home)) == (0 if worker.monitoring.on_full == "refuse" else 1)

    service.run(scenario)
    service.monitoring = service.monitoring.model_copy(update={"on_full": "serve"})
    service.run(scenario)
