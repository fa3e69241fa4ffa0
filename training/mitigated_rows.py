"""The training rows as a mitigation sees them: groups and labels, checked before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairness.groups import UNKNOWN, Groups, encode
from inference.signature import Task
from training.config import TrainingConfig
from training.data import TrainingData
from training.errors import MitigationError
from training.features import Role
from training.mitigation import Method, Mitigation
from training.split import Rows


@dataclass(frozen=True, slots=True)
class MitigatedRows:
    """The N training rows: the group of each under `attribute`, and whether its label is `classes[1]`.

    Groups are those that `fairness` measures; what is missing is the group "unknown", for which nothing is evened
    out.
    """

    attribute: str
    groups: Groups
    is_second: NDArray[np.bool_]
    second_is_favourable: bool

    @property
    def names(self) -> NDArray[np.str_]:
        """The name [N] of the group of each row."""
        return np.array(self.groups.names, dtype=np.str_)[self.groups.codes]

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Whether each row [N] has a group."""
        return np.asarray(self.names != UNKNOWN)

    @property
    def is_favourable(self) -> NDArray[np.bool_]:
        """Whether the label [N] of each row is the favourable one."""
        return self.is_second if self.second_is_favourable else ~self.is_second


def mitigated_rows(config: TrainingConfig, mitigation: Mitigation, data: TrainingData, rows: Rows) -> MitigatedRows:
    """Return the training rows of a mitigation.

    Raises:
        MitigationError: the label has not two classes, there are not two groups, a group has too few rows or
            one label only, or a decision by group is asked for and requests do not say the group.
    """
    attribute = mitigation.attribute or config.protected[0]
    labels = data.labels
    if labels.task is not Task.BINARY:
        reason = f"it moves decisions between two classes, and the task of label '{config.label}' is {labels.task}"
        raise MitigationError(attribute, reason)
    if mitigation.method is Method.THRESHOLD:
        _check_feature(attribute, data.features.roles.get(attribute))
    values: NDArray[Any] = data.protected[attribute][rows.train]
    second: Any = labels.classes[1]
    found = MitigatedRows(
        attribute=attribute,
        groups=encode(attribute, values),
        is_second=np.asarray(labels.values[rows.train] == second, dtype=np.bool_),
        second_is_favourable=labels.favourable == second,
    )
    _check_groups(found, config.gates.minimum_rows)
    return found


def _check_feature(attribute: str, role: Role | None) -> None:
    if role is None:
        reason = "a threshold by group must know the group of each request, and the attribute is no feature"
        remedy = "make it one (protected_as_features, --protected-as-features) or choose another method"
        raise MitigationError(attribute, f"{reason}; {remedy}")
    if role is Role.NUMBER:
        reason = "a threshold by group needs the attribute as categories, and its column holds numbers"
        raise MitigationError(attribute, f"{reason}; write them as texts, or choose another method")


def _check_groups(rows: MitigatedRows, fewest: int) -> None:
    known = [name for name in rows.groups.names if name != UNKNOWN]
    if len(known) < 2:
        said = f"all rows that have one are of group '{known[0]}'" if known else "no row has a group"
        raise MitigationError(rows.attribute, f"{said}; two groups are needed")
    cells = np.bincount(rows.groups.codes * 2 + rows.is_second, minlength=2 * len(rows.groups.names)).reshape(-1, 2)
    for name, counts in zip(rows.groups.names, cells.tolist(), strict=True):
        if name == UNKNOWN:
            continue
        there = f"group '{name}' has {sum(counts)} rows to train on"
        if sum(counts) < fewest:
            wanted = f"at least {fewest} are needed (gates.minimum_rows)"
            raise MitigationError(
                rows.attribute, f"{there}, {wanted}; join the group with another one, or leave its rows out"
            )
        if 0 in counts:
            raise MitigationError(rows.attribute, f"{there} and all have the same label: its rates cannot be moved")
