"""`POST /predict`: right answers, in order, by variant; and a clear word for everything that is wrong."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from bentos.worker import Worker
from monitoring.metrics import LOG_ROWS
from rollout.assignment import Cohort, cohort, hash_unit


def segment_lines(home: Path) -> list[dict[str, Any]]:
    lines = [line for path in sorted((home / "spool").iterdir()) for line in path.read_bytes().splitlines()]
    return [orjson.loads(line) for line in lines]


def spooled(home: Path) -> list[dict[str, Any]]:
    """Return the records of predictions and exposures; what was refused is only counted."""
    return [record for record in segment_lines(home) if record.get("kind") != "refused"]


def test_answers_equal_scikit_learns_and_keep_their_order(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        response = await client.post("/predict", json={"instances": credit.instances(400)})
        answers = response.json()["predictions"]
        assert [answer["probability"] for answer in answers] == pytest.approx(credit.probabilities(400), abs=1e-9)
        assert [answer["prediction"] for answer in answers] == credit.model.predict(credit.frame).tolist()
        request_id = response.headers["x-fairmind-prediction-id"]
        assert [answer["prediction_id"] for answer in answers] == [f"{request_id}-{i}" for i in range(400)]
        assert {(answer["variant"], answer["model_version"]) for answer in answers} == {("champion", "1")}

    service.run(scenario)


def test_units_are_answered_by_the_variant_they_are_assigned_to(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, weight_bp=3000)
    units = [f"person-{i}" for i in range(400)]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        instances = [one | {"unit": unit} for one, unit in zip(credit.instances(400), units, strict=True)]
        answers = (await client.post("/predict", json={"instances": instances})).json()["predictions"]
        by_variant = {"champion": credit.probabilities(400)}
        by_variant["challenger"] = list(credit_challenger.model.predict_proba(credit.frame)[:, 1])
        expected = [
            "challenger" if cohort(hash_unit("r-001", unit), 3000) is Cohort.CHALLENGER else "champion"
            for unit in units
        ]
        assert [answer["variant"] for answer in answers] == expected
        assert 60 < expected.count("challenger") < 180
        for i, answer in enumerate(answers):
            assert answer["probability"] == pytest.approx(by_variant[expected[i]][i], abs=1e-9)

    service.run(scenario)


def test_without_a_unit_the_champion_answers(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answers = (await client.post("/predict", json={"instances": credit.instances(50)})).json()["predictions"]
        assert {answer["variant"] for answer in answers} == {"champion"}

    service.run(scenario)


def test_a_version_asked_for_by_number_or_alias_answers_and_is_in_no_analysis(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for reference in ("credit/2", "credit@challenger"):
            body = {"model": reference, "instances": credit.instances(1, unit="u")}
            answer = (await client.post("/predict", json=body)).json()["predictions"][0]
            assert (answer["model_version"], answer["variant"]) == ("2", None)
        assert {record["variant"] for record in spooled(service.home)} == {None}

    service.run(scenario)


def test_every_answer_is_in_the_log_and_no_unit_is(service: Any, credit: Any) -> None:
    service.serve(credit, epoch=7)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        instances = credit.instances(3, unit="person-17", protected={"sex": "f"}, id="mine")
        answers = (await client.post("/predict", json={"instances": instances})).json()["predictions"]
        (record,) = spooled(service.home)
        assert record["predictions"] == [answer["prediction"] for answer in answers]
        assert record["scores"] == [answer["probability"] for answer in answers]
        assert record["features"] == [one["features"] for one in instances]
        assert record["protected"] == [{"sex": "f"}] * 3
        assert record["caller_ids"] == ["mine"] * 3
        assert (record["model_version"], record["variant"], record["epoch"]) == ("1", "champion", 7)
        assert len(set(record["unit_hashes"])) == 1
        assert "person-17" not in orjson.dumps(record).decode()

    service.run(scenario)


def test_each_row_is_logged_with_its_cohort_while_traffic_is_split(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, weight_bp=2000)
    units = [None, *(f"person-{i}" for i in range(99))]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        instances = [one | {"unit": unit} for one, unit in zip(credit.instances(100), units, strict=True)]
        await client.post("/predict", json={"instances": instances})
        await client.post("/predict", json={"instances": credit.instances(2)})
        await client.post("/predict", json={"model": "credit/2", "instances": credit.instances(1, unit="u")})
        answers = [record for record in spooled(service.home) if record.get("kind") is None]
        *split, no_unit, pinned = sorted(answers, key=lambda record: record["served_at"])
        found = {
            position: (record["variant"], logged)
            for record in split
            for position, logged in zip(record["positions"], record["cohorts"], strict=True)
        }
        assert found[0] == ("champion", None)
        for position, unit in enumerate(units[1:], 1):
            expected = cohort(hash_unit("r-001", unit), 2000)
            variant = "challenger" if expected is Cohort.CHALLENGER else "champion"
            assert found[position] == (variant, expected.value)
        assert {logged for _, logged in found.values()} == {None, "challenger", "control", "champion_only"}
        assert (no_unit["cohorts"], pinned["cohorts"]) == (None, None)

    service.run(scenario)


def test_without_a_split_there_are_no_cohorts(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit, credit_challenger, weight_bp=0)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        await client.post("/predict", json={"instances": credit.instances(2, unit="person-17")})
        assert [record["cohorts"] for record in spooled(service.home)] == [None]

    service.run(scenario)


def test_two_spellings_of_a_unit_are_one_in_the_log(service: Any, credit: Any) -> None:
    service.serve(credit)
    spellings = ["Jos\u00e9", "Jose\u0301", "Jose"]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        instances = [credit.instances(1, unit=unit)[0] for unit in spellings]
        await client.post("/predict", json={"instances": instances})
        (record,) = spooled(service.home)
        composed, decomposed, other = record["unit_hashes"]
        assert composed == decomposed != other

    service.run(scenario)


GOOD: dict[str, Any] = {"age": 41.0, "amount": 2500.0, "job": "nurse"}
SECRET = "Zaphod-Beeblebrox"
BAD_BODIES: dict[str, tuple[bytes | dict[str, Any] | list[Any], int, str, str]] = {
    "not JSON": (b'{"instances": [', 400, "malformed_request", "not JSON"),
    "not an object": ([1], 400, "malformed_request", "must be an object"),
    "no instances": ({"model": "credit"}, 400, "malformed_request", "'instances' must be a list"),
    "unknown key": ({"instances": [], "colour": SECRET}, 400, "malformed_request", "nothing else"),
    "model is no text": ({"instances": [], "model": 7}, 400, "malformed_request", "'model'"),
    "empty": ({"instances": []}, 422, "empty_batch", "no rows"),
    "unknown model": ({"instances": [{"features": GOOD}], "model": "nope"}, 404, "model_not_found", "nope"),
    "unknown version": (
        {"instances": [{"features": GOOD}], "model": "credit/9"},
        404,
        "model_not_found",
        "credit/9",
    ),
    "unknown alias": ({"instances": [{"features": GOOD}], "model": "credit@x"}, 404, "model_not_found", "credit@x"),
    "instance is no object": ({"instances": [SECRET]}, 422, "signature_mismatch", "row 0"),
    "no features": ({"instances": [{"unit": "u"}]}, 422, "signature_mismatch", "row 0"),
    "unit is no text": ({"instances": [{"features": GOOD, "unit": 7}]}, 422, "signature_mismatch", "'unit'"),
    "unit is empty": ({"instances": [{"features": GOOD, "unit": ""}]}, 422, "signature_mismatch", "'unit'"),
    "protected holds numbers": (
        {"instances": [{"features": GOOD, "protected": {"sex": 1}}]},
        422,
        "signature_mismatch",
        "'protected'",
    ),
    "second row lacks a column": (
        {"instances": [{"features": GOOD}, {"features": {"age": 1, "job": "nurse"}}]},
        422,
        "signature_mismatch",
        "row 1, column 'amount': is missing",
    ),
    "extra column": (
        {"instances": [{"features": GOOD | {"shoe": 44}}]},
        422,
        "signature_mismatch",
        "row 0, column 'shoe'",
    ),
    "text for a number": (
        {"instances": [{"features": GOOD | {"age": SECRET}}]},
        422,
        "signature_mismatch",
        "row 0, column 'age': must be a number",
    ),
    "unknown category": (
        {"instances": [{"features": GOOD | {"job": SECRET}}]},
        422,
        "signature_mismatch",
        "row 0, column 'job': is a category the model does not know",
    ),
    "null where required": (
        {"instances": [{"features": GOOD | {"job": None}}]},
        422,
        "signature_mismatch",
        "row 0, column 'job'",
    ),
    "infinity": (
        b'{"instances": [{"features": {"age": Infinity, "amount": 1, "job": "nurse"}}]}',
        422,
        "signature_mismatch",
        "row 0, column 'age': may not be infinite",
    ),
}


BAD_BODIES |= {  # bare NaN sends a body to another parser, which would take all of these
    f"half a surrogate pair as {where}": (
        b'{"instances": [{"features": {"age": NaN, "amount": 1, "job": "nurse"}, %b}]}' % part,
        400,
        "malformed_request",
        "not JSON",
    )
    for where, part in {
        "unit": b'"unit": "\\ud800"',
        "id": b'"id": "\\ud800"',
        "group": b'"protected": {"sex": "\\ud800"}',
        "attribute": b'"protected": {"\\ud800": "f"}',
        "key": b'"\\udfff": 1',
    }.items()
}
BAD_BODIES |= {  # wherever no number belongs, one beyond 64 bits does not either
    f"an integer beyond 64 bits as {where}": (
        b'{"instances": [{"features": {"age": NaN, "amount": 1, "job": "nurse"}, %b}]}' % part,
        422,
        "signature_mismatch",
        where,
    )
    for where, part in {
        "'unit'": b'"unit": 123456789012345678901234567890',
        "'id'": b'"id": 123456789012345678901234567890',
        "'protected'": b'"protected": {"sex": 123456789012345678901234567890}',
    }.items()
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_what_is_wrong_is_said_without_quoting_it_and_nothing_is_logged(
    service: Any, credit: Any, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    service.serve(credit)
    body, status, code, words = BAD_BODIES[case]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        response = await client.post("/predict", content=content)
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (status, code)
        assert words in error["message"]
        assert error["request_id"]
        assert SECRET not in response.text
        assert SECRET not in caplog.text
        assert spooled(service.home) == []

    service.run(scenario)


def test_nan_is_a_missing_value_where_the_pipeline_imputes(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body = b'{"instances": [{"features": {"age": NaN, "amount": null, "job": "nurse"}}]}'
        response = await client.post("/predict", content=body)
        frame = credit.frame.head(1).assign(age=math.nan, amount=math.nan, job="nurse")
        expected = credit.model.predict_proba(frame)[0, 1]
        assert response.json()["predictions"][0]["probability"] == pytest.approx(expected, abs=1e-9)

    service.run(scenario)


def test_limits_on_bytes_and_rows_are_413_and_name_the_setting(service: Any, credit: Any) -> None:
    service.serve(credit)
    service.serving = service.serving.model_copy(update={"max_body_bytes": 2_000, "max_rows": 5})

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for count, setting in ((6, "MAX_ROWS"), (400, "MAX_BODY_BYTES")):
            response = await client.post("/predict", json={"instances": credit.instances(count)})
            assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
            assert setting in response.json()["error"]["message"]

    service.run(scenario)


def test_more_columns_than_a_request_may_have_are_413_and_no_matter_of_the_signature(
    service: Any, credit: Any
) -> None:
    service.serve(credit)
    service.serving = service.serving.model_copy(update={"max_columns": 3})

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        instances = credit.instances(2)
        assert (await client.post("/predict", json={"instances": instances})).status_code == 200
        instances[1]["features"]["more"] = 1
        response = await client.post("/predict", json={"instances": instances})
        assert (response.status_code, "FAIRMIND_BENTOS_MAX_COLUMNS" in response.text) == (413, True)

    service.run(scenario)


def test_other_methods_and_media_types_are_refused(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        response = await client.get("/predict")
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
        response = await client.post("/predict", content=b"a,b", headers={"content-type": "text/csv"})
        assert response.status_code == 415

    service.run(scenario)


def test_a_full_spool_refuses_or_serves_as_the_settings_say(service: Any, credit: Any) -> None:
    service.serve(credit)
    service.monitoring = service.monitoring.model_copy(update={"spool_bytes": 10})

    async def refused(client: httpx.AsyncClient, worker: Worker) -> None:
        response = await client.post("/predict", json={"instances": credit.instances(1)})
        assert (response.status_code, response.json()["error"]["code"]) == (503, "prediction_log_full")
        assert int(response.headers["retry-after"]) >= 1

    async def served(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.post("/predict", json={"instances": credit.instances(1)})).status_code == 200

    service.run(refused)
    service.monitoring = service.monitoring.model_copy(update={"on_full": "serve"})
    service.run(served)


@pytest.mark.parametrize("number", [b"18446744073709551616", b"-9223372036854775809", b"1" + b"0" * 30])
def test_a_number_beyond_64_bits_is_read_the_same_with_nan_beside_it_and_without(
    service: Any, credit: Any, number: bytes
) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answers = []
        for age in (b"null", b"NaN"):
            body = b'{"instances": [{"features": {"age": %b, "amount": %b, "job": "nurse"}}]}' % (age, number)
            response = await client.post("/predict", content=body)
            assert response.status_code == 200
            answers.append(response.json()["predictions"][0]["probability"])
        assert answers[0] == answers[1]
        assert [record["features"][0]["amount"] for record in spooled(service.home)] == [float(number)] * 2

    service.run(scenario)


def test_a_disk_that_refuses_the_log_refuses_or_serves_as_the_settings_say(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def refused(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.post("/predict", json={"instances": credit.instances(1)})).status_code == 200
        worker.log.close()
        shutil.rmtree(service.home / "spool")
        response = await client.post("/predict", json={"instances": credit.instances(1)})
        assert (response.status_code, response.json()["error"]["code"]) == (503, "prediction_log_unavailable")
        assert int(response.headers["retry-after"]) >= 1
        (service.home / "spool").mkdir()
        assert (await client.post("/predict", json={"instances": credit.instances(1)})).status_code == 200

    async def served(client: httpx.AsyncClient, worker: Worker) -> None:
        shutil.rmtree(service.home / "spool")
        assert (await client.post("/predict", json={"instances": credit.instances(3)})).status_code == 200
        assert worker.metrics.value(LOG_ROWS, "lost") == 3

    service.run(refused)
    service.monitoring = service.monitoring.model_copy(update={"on_full": "serve"})
    service.run(served)
