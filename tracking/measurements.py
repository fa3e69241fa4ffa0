"""From the results of a test to what providers take: numbers by name, scalars, and the test in a word."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

LONGEST_NAME: Final = 250
"""MLflow's limit for the name of a metric or parameter."""
MOST_METRICS: Final = 2_000
_NAMING: Final = ("metric", "group", "attribute", "name")
"""What calls an element of a list by its name, the most particular first."""
_ODD = re.compile(r"[^\w.\- ]")
_RISKS: Final = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Measurements:
    """The numbers of a test by name, and the names of those that are not logged."""

    metrics: dict[str, float]
    not_finite: tuple[str, ...]
    too_many: int


def measurements(results: Mapping[str, Any], *, most: int = MOST_METRICS) -> Measurements:
    """Return every number in nested results under the names on its way, joined by `_`.

    Booleans are 0 and 1. Of a list of numbers, `_mean`, `_max` and `_min` are there; elements of a list of objects
    are called by their `metric`, `group`, `attribute` or `name`, else by their position. NaN and infinite numbers
    are left out and named in `not_finite`. Letters that providers refuse are underscores; where two numbers come by
    one name, the later one ends in `_2`. Of more than `most` numbers the outermost are kept.

    >>> found = measurements({"SEX": {"rate": {"1": 0.5, "2": float("nan")}}, "passed": True})
    >>> found.metrics, found.not_finite
    ({'passed': 1.0, 'SEX_rate_1': 0.5}, ('SEX_rate_2',))
    >>> measurements({"gaps": [1, 3]}).metrics
    {'gaps_mean': 2.0, 'gaps_max': 3.0, 'gaps_min': 1.0}
    """
    found = sorted(_numbers(results, ()), key=lambda item: len(item[0]))
    metrics: dict[str, float] = {}
    not_finite: list[str] = []
    too_many = 0
    for path, value in found:
        name = _free(safe_name("_".join(path)), metrics)
        if not math.isfinite(value):
            not_finite.append(name)
        elif len(metrics) >= most:
            too_many += 1
        else:
            metrics[name] = value
    return Measurements(metrics, tuple(not_finite), too_many)


def scalars(values: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return the values that are text, numbers or booleans, under names that providers take."""
    found: dict[str, str | int | float | bool] = {}
    for key, value in values.items():
        if isinstance(value, str | int | float | bool):
            found[_free(safe_name(key), found)] = value
    return found


def summary(results: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return the test in a word: what its own summary says, `bias_detected` and `risk_level`.

    `bias_detected` is true or false where the test says so, by itself or by its verdict, and "unknown" where the
    evidence is insufficient. `risk_level` is the test's own, else counted as FairMind does: low, medium, high and
    critical for 0, 1, 2 and more failed metrics.
    """
    found: dict[str, str | int | float | bool] = {}
    told = results.get("summary")
    if isinstance(told, Mapping):
        found |= scalars(told)
    elif isinstance(told, str) and told:
        found["summary_text"] = told
    verdict = results.get("verdict")
    if isinstance(verdict, str):
        found["verdict"] = verdict
    detected, risk = _bias_detected(results), _risk(results)
    if detected is not None:
        found["bias_detected"] = detected
    if risk is not None:
        found["risk_level"] = risk
    return found


def safe_name(name: str) -> str:
    """Return the name in letters that every provider takes, and no longer than it takes.

    >>> safe_name("SEX × RAC1P/../rate")
    'SEX _ RAC1P_.._rate'
    """
    # Leading underscores are names of W&B's own, dots are folders to MLflow.
    safe = _ODD.sub("_", name).lstrip("_. ").rstrip(". ") or "value"
    return safe[:LONGEST_NAME].rstrip(". ")


def _numbers(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], float]]:
    if isinstance(value, int | float):
        yield path, _as_float(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, (*path, str(key)))
    elif isinstance(value, list | tuple) and value:
        if all(isinstance(item, int | float) for item in value):
            numbers = [_as_float(item) for item in value]
            yield (
                (*path, "mean"),
                math.fsum(numbers) / len(numbers) if all(map(math.isfinite, numbers)) else math.nan,
            )
            yield (*path, "max"), max(numbers)
            yield (*path, "min"), min(numbers)
        else:
            for position, item in enumerate(value):
                if not isinstance(item, str):
                    yield from _numbers(item, (*path, _called(item, position)))


def _called(item: Any, position: int) -> str:
    if isinstance(item, Mapping):
        for key in _NAMING:
            if isinstance(item.get(key), str) and item[key]:
                return str(item[key])
    return str(position)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf


def _free(name: str, taken: Mapping[str, Any]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        ending = f"_{number}"
        candidate, number = name[: LONGEST_NAME - len(ending)] + ending, number + 1
    return candidate


def _objects(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects of a list; a test that was run elsewhere may have anything there."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _bias_detected(results: Mapping[str, Any]) -> bool | str | None:
    for key in ("overall_bias_detected", "bias_detected"):
        if isinstance(results.get(key), bool):
            return bool(results[key])
    match results.get("verdict"):
        case "fail":
            return True
        case "pass":
            return False
        case "insufficient_evidence":
            return "unknown"
    return None


def _risk(results: Mapping[str, Any]) -> str | None:
    for key in ("risk_level", "overall_risk"):
        if isinstance(results.get(key), str) and results[key]:
            return str(results[key])
    verdict = results.get("verdict")
    if not isinstance(verdict, str):
        return None
    failed = sum(
        1
        for attribute in _objects(results.get("attributes"))
        for disparity in _objects(attribute.get("disparities"))
        if disparity.get("gating") is True and disparity.get("verdict") == "fail"
    )
    if not failed and verdict != "pass":
        return "unknown"
    return _RISKS[failed] if failed < len(_RISKS) else "critical"
