"""Who is answered by whom: several challengers, a soak, rows without a unit; and the champion when nobody knows."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from bentos.worker import HEARTBEAT_SECONDS, Worker
from rollout.assignment import canary_layout, cohort, cohort_in, hash_unit, soak_layout
from rollout.serving_state import WeightedVersion
from tests.fakes.exposures import exposures
from tests.unit.bentos.grpc_client import Client, outputs, request, run
from tests.unit.bentos.test_predict import spooled
from tests.unit.bentos.test_worker import until

UNITS = [f"person-{number}" for number in range(200)]


async def ask(client: httpx.AsyncClient, credit: Any, units: list[Any]) -> list[tuple[str, str]]:
    """Return variant and version that answered each unit."""
    instances = [one | {"unit": unit} for one, unit in zip(credit.instances(len(units)), units, strict=True)]
    answers = (await client.post("/predict", json={"instances": instances})).json()["predictions"]
    return [(answer["variant"], answer["model_version"]) for answer in answers]


def logged_cohorts(service: Any) -> dict[str, str | None]:
    """Return by prediction id the cohorts of answers in the log."""
    return {
        f"{line['request_id']}-{position}": cohort
        for line in spooled(service.home)
        if "kind" not in line
        for position, cohort in zip(line["positions"], line["cohorts"] or [None] * 10_000, strict=False)
    }


def other(credit: Any, version: str, weight_bp: int) -> WeightedVersion:
    return WeightedVersion(version=version, digest=None, folder=str(credit.folder), weight_bp=weight_bp)


def exposed_rows(service: Any) -> list[dict[str, Any]]:
    """Return the rows that the log has as exposed."""
    return [row for line in spooled(service.home) if "kind" in line for row in exposures(line)]


def test_each_of_several_challengers_answers_its_slot(service: Any, credit: Any, credit_challenger: Any) -> None:
    others = (other(credit, "3", 2_500), other(credit_challenger, "4", 0))
    service.serve(credit, credit_challenger, weight_bp=1_500, others=others, rollout_id="r-1")
    layout = canary_layout((1_500, 2_500, 0))
    versions = {"challenger": "2", "challenger-2": "3"}

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        cohorts = [cohort_in(layout, hash_unit("r-001", unit)).value for unit in UNITS]
        names = [cohort if cohort in versions else "champion" for cohort in cohorts]
        assert await ask(client, credit, UNITS) == [(name, versions.get(name, "1")) for name in names]
        logged = {int(name.rpartition("-")[2]): found for name, found in logged_cohorts(service).items()}
        assert [logged[position] for position in range(len(UNITS))] == cohorts
        assert set(cohorts) == {"challenger", "challenger-2", "control", "champion_only"}
        assert {row["cohort"] for row in exposed_rows(service)} == {"challenger", "challenger-2", "control"}
        pinned = {"model": "credit@challenger-2", "instances": credit.instances(1)}
        assert (await client.post("/predict", json=pinned)).json()["predictions"][0]["model_version"] == "3"
        assert (await client.get("/readyz")).json()["models"]["credit"]["versions"] == ["1", "2", "3", "4"]

    service.run(scenario)


def test_while_one_challenger_is_missing_nothing_is_compared(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    missing = WeightedVersion(version="3", digest=None, folder=None, weight_bp=2_000)
    service.serve(credit, credit_challenger, weight_bp=2_000, others=(missing,))

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert set(await ask(client, credit, UNITS)) == {("champion", "1")}
        assert set(logged_cohorts(service).values()) == {None}
        assert "credit/3" in worker.problems
        service.serve(credit, credit_challenger, weight_bp=2_000, others=(other(credit, "3", 2_000),), epoch=2)
        await until(lambda: worker.models["credit"].splits)
        # The same version in another form is being fetched: its units are not moved for that.
        service.serve(
            credit,
            credit_challenger,
            weight_bp=2_000,
            others=(missing.model_copy(update={"digest": "x"}),),
            epoch=3,
        )
        await until(lambda: worker.models["credit"].epoch == 3)
        assert {version for _, version in await ask(client, credit, UNITS)} == {"1", "2", "3"}

    service.run(scenario)


def test_a_soak_leaves_the_holdback_with_the_champion(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit, credit_challenger, holdback_bp=2_000, rollout_id="r-1")

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        cohorts = [cohort_in(soak_layout(2_000), hash_unit("r-001", unit)).value for unit in UNITS]
        expected = [("champion", "1") if cohort == "control" else ("challenger", "2") for cohort in cohorts]
        assert await ask(client, credit, UNITS) == expected
        assert 20 < cohorts.count("control") < 60
        assert await ask(client, credit, [None]) == [("champion", "1")], "who has no unit is in no soak"
        assert (await client.get("/readyz")).json()["models"]["credit"]["weight"] == 0.8

    service.run(scenario)


@pytest.mark.parametrize("split", [{"weight_bp": 5_000}, {"holdback_bp": 100}], ids=["canary", "soak"])
def test_rows_without_a_unit_are_the_champions_unless_they_are_to_be_assigned(
    service: Any, credit: Any, credit_challenger: Any, split: dict[str, int]
) -> None:
    layout = canary_layout((5_000,)) if "weight_bp" in split else soak_layout(100)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        units = [*UNITS[:50], *[None] * 50]
        response = await client.post(
            "/predict",
            json={
                "instances": [one | {"unit": unit} for one, unit in zip(credit.instances(100), units, strict=True)]
            },
        )
        answers = response.json()["predictions"]
        keys = [unit or answer["prediction_id"] for unit, answer in zip(units, answers, strict=True)]
        expected = [cohort_in(layout, hash_unit("r-001", key)) for key in keys]
        assert [answer["variant"] == "challenger" for answer in answers] == [
            one.startswith("challenger") for one in expected
        ]
        found = logged_cohorts(service)
        assert [found[answer["prediction_id"]] for answer in answers] == expected
        for row in exposed_rows(service):
            assert (row["unit_hash"] is None) == (units[int(row["prediction_id"].rpartition("-")[2])] is None)
        for line in spooled(service.home):
            if "kind" not in line:
                for position, unit_hash in zip(line["positions"], line["unit_hashes"], strict=True):
                    assert (unit_hash is None) == (units[position] is None)

    async def with_champion(client: httpx.AsyncClient, worker: Worker) -> None:
        assert set(await ask(client, credit, [None] * 20)) == {("champion", "1")}

    service.serve(credit, credit_challenger, on_missing_key="request", rollout_id="r-1", **split)
    service.run(scenario)
    service.serve(credit, credit_challenger, **split)
    service.run(with_champion)


def test_rows_without_a_unit_are_assigned_by_their_request_on_every_protocol(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5_000, on_missing_key="request", rollout_id="r-1")
    row = credit.instances(1)[0]["features"]
    infer = {
        "inputs": [
            {"name": name, "datatype": "BYTES" if type(value) is str else "FP64", "shape": [1], "data": [value]}
            for name, value in row.items()
        ]
    }
    sent = {
        "/predict": {"instances": [{"features": row}]},
        "/v2/models/credit/infer": infer,
        "/invocations": {"dataframe_records": [row]},
        "/v1/models/credit:predict": {"instances": [row]},
    }

    async def over_http(client: httpx.AsyncClient, worker: Worker) -> None:
        for path, body in sent.items():
            seen = set()
            for _ in range(20):
                answer = await client.post(path, json=body)
                assert answer.status_code == 200
                request_id = answer.headers["x-fairmind-prediction-id"]
                said = logged_cohorts(service)[f"{request_id}-0"]
                assert said == cohort(hash_unit("r-001", f"{request_id}-0"), 5_000)
                seen.add(said)
            assert seen == {"challenger", "control"}, path

    async def over_grpc(client: Client) -> None:
        seen = set()
        for _ in range(20):
            answer = await client.call(
                "ModelInfer", request("credit", {name: [value] for name, value in row.items()})
            )
            request_id = answer.parameters["fairmind_prediction_id"].string_param
            said = cohort(hash_unit("r-001", f"{request_id}-0"), 5_000)
            variant = answer.parameters["fairmind_variant"].string_param
            assert variant == ("challenger" if said == "challenger" else "champion")
            assert outputs(answer)
            seen.add(variant)
        assert seen == {"challenger", "champion"}

    service.run(over_http)
    assert [row["unit_hash"] for row in exposed_rows(service)] == [None] * 80
    run(service, over_grpc)


@pytest.mark.parametrize(
    "state",
    [
        {"holdback_bp": 0},
        {"weight_bp": 5_000, "on_missing_key": "request"},
        {"weight_bp": 0, "shadow_bp": 10_000},
    ],
    ids=["soak", "request", "shadow"],
)
def test_a_state_that_is_not_renewed_is_the_champions_whatever_was_split(
    service: Any, credit: Any, credit_challenger: Any, state: dict[str, Any]
) -> None:
    service.serve(credit, credit_challenger, **state)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        service.age_state(HEARTBEAT_SECONDS + 1)
        await until(lambda: worker.is_stale)
        assert set(await ask(client, credit, [*UNITS, *[None] * 20])) == {("champion", "1")}
        assert (await client.get("/readyz")).json()["models"]["credit"]["weight"] == 0
        assert {line.get("kind") for line in spooled(service.home)} == {None}

    service.run(scenario)
