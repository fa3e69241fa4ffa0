"""Real people as requests: rows of the census data, in the columns that the served model says it takes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pandas as pd

from sources.named import CensusPart, census_employment

PROTECTED = ("SEX", "RAC1P")
INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})


@dataclass(frozen=True, slots=True)
class Person:
    """One row: what the model is told, and what only the bias test is told."""

    features: dict[str, Any]
    protected: dict[str, str]


@dataclass(frozen=True, slots=True)
class Inputs:
    """A model's input columns and their Open Inference Protocol datatypes, in order."""

    model: str
    datatypes: dict[str, str]


def served_inputs(url: str, model: str) -> Inputs:
    """Ask the server which columns the model takes."""
    answer = httpx.get(f"{url}/v2/models/{model}", timeout=10.0, trust_env=False).raise_for_status().json()
    return Inputs(model, {tensor["name"]: tensor["datatype"] for tensor in answer["inputs"]})


def people(data_folder: Path, inputs: Inputs, count: int, *, seed: int = 0) -> list[Person]:
    """Return `count` people of the later years, drawn without replacement."""
    return people_of(census_employment(CensusPart.LATER_YEARS).read(data_folder), inputs, count, seed=seed)


def people_of(
    frame: pd.DataFrame, inputs: Inputs, count: int, *, seed: int = 0, protected: Sequence[str] = PROTECTED
) -> list[Person]:
    """Return `count` rows of a table as people, drawn without replacement; a missing value is None, JSON's null."""
    drawn = frame.sample(n=min(count, len(frame)), random_state=seed)
    columns = {name: _values(drawn[name].tolist(), datatype) for name, datatype in inputs.datatypes.items()}
    groups = {name: [str(value) for value in drawn[name].tolist()] for name in protected}
    return [
        Person(
            {name: values[row] for name, values in columns.items()}, {name: groups[name][row] for name in groups}
        )
        for row in range(len(drawn))
    ]


def predict_body(model: str, persons: Sequence[Person], units: Sequence[str | None]) -> dict[str, Any]:
    """Return the body of `POST /predict` for these people."""
    instances: list[dict[str, Any]] = []
    for person, unit in zip(persons, units, strict=True):
        instance: dict[str, Any] = {"features": person.features}
        if person.protected:
            instance["protected"] = person.protected
        if unit is not None:
            instance["unit"] = unit
        instances.append(instance)
    return {"model": model, "instances": instances}


def infer_body(inputs: Inputs, persons: Sequence[Person], unit: str | None = None) -> dict[str, Any]:
    """Return the body of `POST /v2/models/{model}/infer` for these people: one tensor per column."""
    tensors = [
        {
            "name": name,
            "datatype": datatype,
            "shape": [len(persons)],
            "data": [person.features[name] for person in persons],
        }
        for name, datatype in inputs.datatypes.items()
    ]
    return {"inputs": tensors} if unit is None else {"inputs": tensors, "parameters": {"unit": unit}}


def unit_names(count: int, *, seed: int = 0) -> list[str]:
    """Return names of units that look like nothing in particular, the same ones for the same seed."""
    draw = random.Random(seed)
    return [f"person-{draw.getrandbits(48):012x}" for _ in range(count)]


def _values(values: list[Any], datatype: str) -> list[Any]:
    """Return values as JSON has them for a datatype; a missing value is null."""
    if datatype == "BYTES":
        return [None if pd.isna(value) else str(value) for value in values]
    if datatype == "BOOL":
        return [bool(value) for value in values]
    if datatype in INTEGERS:
        return [int(value) for value in values]
    return [None if pd.isna(value) else float(value) for value in values]
