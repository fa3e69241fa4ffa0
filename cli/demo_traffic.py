"""The demo's traffic: real people of the later years, one request each, and what became of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from sources.named import CensusPart, census_employment

if TYPE_CHECKING:
    from training.config import TrainingConfig

_AT_ONCE = 16
_OUTCOMES_AT_ONCE = 5_000
_CATCH_UP_SECONDS = 120.0
_BREATH_SECONDS = 0.2


class LogBehindError(Exception):
    """The prediction log did not catch up in time."""

    def __init__(self, missing: int) -> None:
        self.missing = missing
        super().__init__(f"{missing} predictions are not in the log after {_CATCH_UP_SECONDS:.0f} s")


@dataclass(frozen=True, slots=True)
class Person:
    """One row: the request's instance, and the label that arrives later."""

    instance: dict[str, Any]
    outcome: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What a person was answered; `seconds` is what the client waited."""

    person: Person
    prediction_id: str
    variant: str
    seconds: float


def later_years(data_folder: Path, config: TrainingConfig, columns: list[str], count: int) -> list[Person]:
    """Return people of 2016 to 2018, drawn with a fixed seed, with the columns the model takes.

    The label and the protected attributes are those that the model was trained and measured with.
    """
    rows = census_employment(CensusPart.LATER_YEARS).read(data_folder)
    labels = census_employment(CensusPart.LATER_LABELS).read(data_folder)
    drawn = rows.merge(labels, on="id").sample(n=count, random_state=0)
    return [
        Person(
            instance={
                "features": {column: row[column] for column in columns},
                "unit": f"person-{row['id']}",
                "protected": {name: row[name] for name in config.protected},
            },
            outcome=int(row[config.label]),
        )
        for row in drawn.to_dict("records")
    ]


def send(url: str, model: str, people: list[Person], progress: Callable[[int], None]) -> list[Answered]:
    """Send one request per person, sixteen at a time, and return the answers in the same order.

    Raises:
        httpx.HTTPStatusError: A request was refused.
    """
    return asyncio.run(_send(url, model, people, progress))


async def _send(url: str, model: str, people: list[Person], progress: Callable[[int], None]) -> list[Answered]:
    waiting = iter(enumerate(people))
    answers: list[Answered | None] = [None] * len(people)

    async def one_client(client: httpx.AsyncClient) -> None:
        for index, person in waiting:
            started = time.perf_counter()
            response = await client.post("/predict", json={"model": model, "instances": [person.instance]})
            seconds = time.perf_counter() - started
            response.raise_for_status()
            answer = response.json()["predictions"][0]
            answers[index] = Answered(person, answer["prediction_id"], answer["variant"], seconds)
            progress(1)

    limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30, trust_env=False) as client:
        await asyncio.gather(*(one_client(client) for _ in range(_AT_ONCE)))
    return [answer for answer in answers if answer is not None]


def post_outcomes(url: str, answers: list[Answered]) -> None:
    """Post what became of everybody, again until the log holds all their predictions (repeats are harmless).

    Raises:
        LogBehindError: The log did not catch up in time.
    """
    deadline = time.monotonic() + _CATCH_UP_SECONDS
    while unmatched := sum(
        _post(url, answers[at : at + _OUTCOMES_AT_ONCE]) for at in range(0, len(answers), _OUTCOMES_AT_ONCE)
    ):
        if time.monotonic() > deadline:
            raise LogBehindError(unmatched)
        time.sleep(_BREATH_SECONDS)  # the process that takes them is the one that writes the log


def _post(url: str, answers: list[Answered]) -> int:
    """Return how many outcomes were not taken, because their predictions are not in the log yet."""
    outcomes = [{"prediction_id": answer.prediction_id, "outcome": answer.person.outcome} for answer in answers]
    response = httpx.post(f"{url}/api/v1/outcomes", json=outcomes, timeout=60, trust_env=False)
    unmatched: int = response.raise_for_status().json()["unmatched"]
    return unmatched
