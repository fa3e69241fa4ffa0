"""Which rows are learned from and which are held out to measure on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from inference.signature import Task
from training.config import Split
from training.errors import DataError
from training.labels import Labels


@dataclass(frozen=True, slots=True)
class Rows:
    """Row positions: `train` and `test` share none and together are all of them."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]


def split_rows(labels: Labels, split: Split) -> Rows:
    """Return the rows to learn from and to hold out.

    Classes keep their shares in both parts. The same labels and seed give the same rows.

    Raises:
        DataError: there are too few rows for every class to be in both parts.
    """
    positions = np.arange(len(labels.values))
    stratify = None if labels.task is Task.REGRESSION else labels.values
    try:
        train, test = train_test_split(
            positions, test_size=split.test_fraction, random_state=split.seed, stratify=stratify
        )
    except ValueError as error:
        reason = f"holding out {split.test_fraction:g} of {len(positions)} rows leaves a part without every class"
        raise DataError(f"{reason}; give more rows or another test_fraction") from error
    return Rows(np.sort(train), np.sort(test))
