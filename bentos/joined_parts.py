"""The parts of a request that several variants answered, as the one answer of a protocol that knows no parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.dataplane import Part
from inference.served_model import Predictions
from inference.signature import Signature, Task


@dataclass(slots=True)  # not frozen, which would take four times as long to make
class Joined:
    """Predictions in the order of the request's rows, and what answered them.

    `signature` is what they are read by. `versions` and `variants` are joined by commas where there are several;
    `variants` is None where a version was asked for by number.
    """

    predictions: Predictions
    signature: Signature
    versions: str
    variants: str | None


def join_parts(parts: Sequence[Part], rows: int) -> Joined:
    """Return the answer to all rows. Probabilities are left out where the variants do not know the same classes."""
    first = parts[0]
    signature = first.variant.batcher.model.signature
    if len(parts) == 1:
        return Joined(first.predictions, signature, first.version, first.variant.name)
    signatures = [part.variant.batcher.model.signature for part in parts]
    predictions = Predictions(
        _placed(parts, [part.predictions.prediction for part in parts], rows),
        _probabilities(parts, signatures, rows),
    )
    signature = next((one for one in signatures if one.task is Task.OPAQUE), signature)
    versions, names = [part.version for part in parts], [part.variant.name or "" for part in parts]
    return Joined(predictions, signature, ",".join(versions), ",".join(names))


def _probabilities(parts: Sequence[Part], signatures: Sequence[Signature], rows: int) -> NDArray[np.float64] | None:
    found = [part.predictions.probabilities for part in parts]
    classes = [(one.classes, tuple(map(type, one.classes))) for one in signatures]
    if any(one is None for one in found) or any(one != classes[0] for one in classes):
        return None
    return _placed(parts, [one for one in found if one is not None], rows)


def _placed(parts: Sequence[Part], found: Sequence[NDArray[Any]], rows: int) -> NDArray[Any]:
    """Return the parts' values at their places: in their own dtype where it is one, as objects where it is not."""
    is_alike = len({(values.dtype, values.shape[1:]) for values in found}) == 1
    placed = np.empty(
        (rows, *found[0].shape[1:]) if is_alike else rows, dtype=found[0].dtype if is_alike else object
    )
    for part, values in zip(parts, found, strict=True):
        if is_alike:
            placed[np.asarray(part.positions)] = values
        else:
            for position, value in zip(part.positions, values.tolist(), strict=True):
                placed[position] = value
    return placed
