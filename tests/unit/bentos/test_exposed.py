"""While a model is split, rows in a cohort are logged before it runs, and end with their answer or the reason."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from bentos.exposed import Exposed
from bentos.worker import Worker
from inference.errors import DeadlineExceededError, QueueFullError
from monitoring.errors import LogUnavailableError
from rollout.assignment import Cohort, cohort, hash_unit
from tests.fakes.exposures import exposures
from tests.unit.bentos.test_predict import spooled

UNITS = [None, *(f"person-{number}" for number in range(39))]


def compared(unit: str | None) -> bool:
    return unit is not None and cohort(hash_unit("r-001", unit), 2000) in {"challenger", "control"}


def statuses(line: Any) -> dict[str, str | None]:
    """Return what a line says of the rows of each variant."""
    return {row["variant"]: row["status"] for row in exposures(line)}


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
        assert kinds == ["exposure", None, None]
        answers = {
            f"{line['request_id']}-{position}": (line["variant"], line["model_version"], unit, of)
            for line in lines[1:]
            for position, unit, of in zip(line["positions"], line["unit_hashes"], line["cohorts"], strict=True)
        }
        id_ = lines[1]["request_id"]
        begun = {row["prediction_id"]: row for row in exposures(lines[0])}
        assert set(begun) == {f"{id_}-{number}" for number, unit in enumerate(UNITS) if compared(unit)}
        for name, row in begun.items():
            assert (row["status"], row["latency_us"], row["rollout_id"], row["epoch"]) == (None, None, "r-1", 5)
            assert (row["model"], row["protected"]) == ("credit", {"sex": "f"})
            assert row["cohort"] == ("challenger" if row["variant"] == "challenger" else "control")
            assert (row["variant"], row["model_version"], row["unit_hash"], row["cohort"]) == answers[name]
        assert [line["status"] for line in lines[1:]] == ["ok", "ok"]

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
        assert [list(statuses(line).values()) for line in spooled(service.home)] == [[None], ["refused"]]

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
        first, last = map(exposures, spooled(service.home))
        assert [row["status"] for row in first] == [None, None]
        assert [row["status"] for row in last] == [status, status]
        assert [row["prediction_id"] for row in last] == [row["prediction_id"] for row in first]
        assert [row["prediction_id"].rpartition("-")[2] for row in last] == ["0", "1"]
        assert all(row["latency_us"] > 0 for row in last)

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
        _, ended = spooled(service.home)
        assert statuses(ended) == {"challenger": "error", "champion": "beside"}

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
        took = {line["variant"]: line["latency_us"] for line in spooled(service.home)[1:]}
        assert took["challenger"] > took["champion"] + 50_000

    service.run(scenario)


def test_a_request_that_is_given_up_ends_as_cancelled(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        class Request:
            id, protocol, started = "a", "predict", 0.0
            caller_ids = protected = None
            rows = 1

        served = worker.models["credit"]
        exposed = Exposed(served, Request(), [(served.champion, None)], [Cohort.CONTROL], ["u"])  # type: ignore[arg-type] # what it reads
        worker.exposures.begin(exposed)
        worker.exposures.end(exposed, asyncio.CancelledError())
        assert [statuses(line) for line in spooled(service.home)] == [{"champion": None}, {"champion": "cancelled"}]

    service.run(scenario)


def test_what_comes_in_one_pass_is_one_line_that_is_there_before_any_model_is_called(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    """The first request, which is not compared, is what has the batch begin."""
    service.serve(credit, credit_challenger, weight_bp=2000)
    units = [next(unit for unit in UNITS[1:] if not compared(unit)), *filter(compared, UNITS)]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        seen: list[list[Any]] = []

        class Looking(Failing):
            """A model that looks at the log before it predicts."""

            def predict(self, *asked: Any) -> Any:  # type: ignore[override] # a model's, not a queue's
                seen.append(spooled(service.home))
                return self._batcher.predict(*asked)

        for variant in worker.models["credit"].variants():
            variant.batcher.model = Looking(variant.batcher.model, RuntimeError())
        bodies = [{"instances": credit.instances(1, unit=unit)} for unit in units]
        answers = await asyncio.gather(*(client.post("/predict", json=body) for body in bodies))
        assert [answer.status_code for answer in answers] == [200] * len(units)
        assert seen
        for lines in seen:
            assert len(exposures(lines[0])) == len(units) - 1
        assert [line.get("kind") for line in spooled(service.home)] == ["exposure"] + [None] * len(units)

    service.run(scenario)


def test_rows_that_wait_for_a_model_are_in_the_log_meanwhile(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000)

    class Waiting(Failing):
        async def predict(self, *_: Any) -> Any:
            await asyncio.Event().wait()

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for variant in worker.models["credit"].variants():
            object.__setattr__(variant, "batcher", Waiting(variant.batcher, RuntimeError()))
        asking = asyncio.create_task(client.post("/predict", json={"instances": credit.instances(1, unit="u")}))
        while not spooled(service.home):
            await asyncio.sleep(0.001)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert [list(statuses(line).values()) for line in spooled(service.home)] == [[None], ["cancelled"]]

    service.run(scenario)


@pytest.mark.parametrize("on_full", ["refuse", "serve"])
def test_a_full_spool_refuses_before_the_model_runs_unless_it_may_serve(
    service: Any, credit: Any, credit_challenger: Any, on_full: str
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000)
    service.monitoring = service.monitoring.model_copy(update={"on_full": on_full, "spool_bytes": 0})

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        ran: list[int] = []
        for variant in worker.models["credit"].variants():
            predict = variant.batcher.predict

            async def counted(*asked: Any, of: Any = predict) -> Any:
                ran.append(1)
                return await of(*asked)

            variant.batcher.predict = counted  # type: ignore[method-assign] # that it is called is what counts
        answer = await client.post("/predict", json={"instances": credit.instances(1, unit="u")})
        assert (answer.status_code, len(ran)) == ((503, 0) if on_full == "refuse" else (200, 1))
        assert spooled(service.home) == []

    service.run(scenario)


@pytest.mark.parametrize("on_full", ["refuse", "serve"])
def test_a_disk_that_refuses_exposures_alone_refuses_the_answer_unless_it_may_serve(
    service: Any, credit: Any, credit_challenger: Any, on_full: str
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000)
    service.monitoring = service.monitoring.model_copy(update={"on_full": on_full})

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        expose = worker.log.expose

        def once(_rows: Any) -> None:
            worker.log.expose = expose  # type: ignore[method-assign] # it works again
            raise LogUnavailableError("No space left on device")

        worker.log.expose = once  # type: ignore[method-assign] # the disk is full for a moment
        answer = await client.post("/predict", json={"instances": credit.instances(1, unit="u")})
        lines = spooled(service.home)
        assert answer.status_code == (503 if on_full == "refuse" else 200)
        if on_full == "refuse":
            assert [list(statuses(line).values()) for line in lines] == [["unlogged"]]
        else:
            assert [line["status"] for line in lines] == ["ok"]

    service.run(scenario)
