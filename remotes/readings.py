"""How a remote's outputs are to be read, guessed from what they look like where nobody says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from inference.signature import Signature
from remotes.client import Tensor
from remotes.definition import Output, Reading
from remotes.errors import InvalidRemoteError

_PROBABLE: Final = re.compile(r"prob|score", re.IGNORECASE)
_UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True)
class Seen:
    """One output: its name, how many values a row has (-1: unknown), whether those are numbers with decimals, and
    its names of values where a row is an object."""

    name: str | None
    width: int
    is_float: bool
    keys: tuple[str, ...] = ()


def seen_in_metadata(tensors: Iterable[Tensor]) -> list[Seen]:
    """Return outputs as metadata describe them."""
    return [
        Seen(one.name, 1 if len(one.shape) < 2 else one.shape[-1], one.datatype.startswith("FP")) for one in tensors
    ]


def seen_in_answer(outputs: Mapping[str | None, Any]) -> list[Seen]:
    """Return outputs as an answer to one row has them."""
    found = []
    for name, values in outputs.items():
        row = values[0] if len(values) else None
        if isinstance(row, dict):
            found.append(Seen(name, len(row), all(type(one) is float for one in row.values()), tuple(row)))
            continue
        flat = np.asarray(row).reshape(-1)
        found.append(Seen(name, flat.size, flat.dtype.kind == "f"))
    return found


def guess_outputs(seen: Sequence[Seen], signature: Signature) -> tuple[Output, ...]:
    """Return how outputs are read: probabilities where a row has as many numbers as there are classes, a label
    where it has one value.

    Raises:
        InvalidRemoteError: That cannot be told; the message says how to say it.
    """
    classes = len(signature.classes)
    if not classes:
        if len(seen) != 1 or seen[0].keys:
            raise _untold(seen, "which of its outputs is the prediction")
        return (Output(name=seen[0].name, reading=Reading.VALUE),)
    labels = {str(label) for label in signature.classes}
    found: list[Output] = []
    scored = [one for one in seen if _has_probabilities(one, classes, labels)]
    if scored:
        found.append(Output(name=scored[0].name, reading=Reading.PROBABILITIES))
    elif classes == 2 and (single := [one for one in seen if _is_probability(one)]):
        found.append(Output(name=single[0].name, reading=Reading.PROBABILITY))
    taken = {one.name for one in found}
    rest = [one for one in seen if one.name not in taken and one.width == 1 and not one.keys]
    if len(rest) == 1 or (rest and not found):
        found.append(Output(name=rest[0].name, reading=Reading.LABEL))
    if not found:
        raise _untold(seen, "which of its outputs is what")
    return tuple(found)


def _has_probabilities(one: Seen, classes: int, labels: set[str]) -> bool:
    if one.keys:
        return set(one.keys) == labels
    return one.is_float and (one.width == classes or (one.width == _UNKNOWN and _is_probable(one)))


def _is_probability(one: Seen) -> bool:
    return one.is_float and one.width == 1 and not one.keys and _is_probable(one)


def _is_probable(one: Seen) -> bool:
    return one.name is not None and _PROBABLE.search(one.name) is not None


def _untold(seen: Sequence[Seen], what: str) -> InvalidRemoteError:
    names = [one.name or "the prediction" for one in seen] + [key for one in seen for key in one.keys]
    told = f" (it has {', '.join(names)})" if names else ""
    return InvalidRemoteError(
        f"nobody says {what}{told}: name them with --output label=NAME, probabilities=NAME, probability=NAME or "
        "value=NAME, and the classes with --classes"
    )
