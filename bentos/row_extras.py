"""What a row may say beside its features, on every protocol whose rows are columns or tensors.

`fairmind.unit` is what the row is assigned by, `fairmind.id` the caller's own id of it, `fairmind.protected.<ATTR>`
a protected attribute that the model never sees. They are strings, or integers taken for their digits; null, NaN and
the empty string (raw tensors and CSV have no null) say nothing. They are taken off before the signature is looked
at. A model whose own signature has a column of such a name keeps it: there it is a feature like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bentos.errors import MalformedRequestError
from bentos.served import Target
from bentos.wire import Exchange
from inference.arrays import Texts, Values
from inference.errors import MalformedColumnsError, Mismatch, SignatureMismatchError
from inference.tensors import Tensor

UNIT: Final = "fairmind.unit"
ID: Final = "fairmind.id"
PROTECTED: Final = "fairmind.protected."
_PREFIX: Final = "fairmind."
_MAX_TEXT: Final = 200
_MOST_ATTRIBUTES: Final = 50
"""Each makes an entry per row: a request must not be able to ask for rows times columns of them."""


@dataclass(frozen=True, slots=True)
class RowExtras:
    """Units, callers' ids and protected attributes, one per row; None where no row has any."""

    units: Sequence[str | None] | None = None
    ids: Sequence[str | None] | None = None
    protected: Sequence[Mapping[str, str | None] | None] | None = None


NOTHING: Final = RowExtras()


def own_names(target: Target) -> AbstractSet[str]:
    """Return the names that are features of what a request asked for: of the version, or of the champion."""
    return (target.pinned or target.served.champion).batcher.model.signature.names


def extra_names(names: Iterable[str], own: AbstractSet[str]) -> list[str]:
    """Return those names that are extras, and not the model's own."""
    return [
        name
        for name in names
        if name.startswith(_PREFIX)
        and name not in own
        and (name in {UNIT, ID} or (name.startswith(PROTECTED) and len(name) > len(PROTECTED)))
    ]


def read_extras(names: Sequence[str], values: Callable[[str], Values]) -> RowExtras:
    """Return the extras of a table whose columns `names` are extras; `values` returns those of one of them.

    Raises:
        MalformedColumnsError: There are more protected attributes than a request may have.
        SignatureMismatchError: A value is no string, or too long; names column and row.
    """
    if not names:
        return NOTHING
    attributes = [name for name in names if name.startswith(PROTECTED)]
    if len(attributes) > _MOST_ATTRIBUTES:
        raise MalformedColumnsError(f"a request may have {_MOST_ATTRIBUTES} columns '{PROTECTED}…', not more")
    found = {name: _texts(name, values(name)) for name in names}
    return RowExtras(
        units=_any(found.get(UNIT)),
        ids=_any(found.get(ID)),
        protected=_protected({name.removeprefix(PROTECTED): found[name] for name in attributes}),
    )


def split_tensors(tensors: Sequence[Tensor], own: AbstractSet[str]) -> tuple[Sequence[Tensor], RowExtras]:
    """Return the tensors that are features, and the extras that the others hold.

    Raises:
        MalformedColumnsError: An extra has another shape than [N] or [N, 1], or there is nothing but extras.
        SignatureMismatchError: A value is no string, or too long; names column and row.
    """
    if not any(tensor.name.startswith(_PREFIX) for tensor in tensors):
        return tensors, NOTHING
    names = extra_names([tensor.name for tensor in tensors], own)
    extras = {tensor.name: tensor for tensor in tensors if tensor.name in names}
    features = [tensor for tensor in tensors if tensor.name not in extras]
    for tensor in extras.values():
        if len(tensor.shape) == 2 and tensor.shape[1] != 1:
            raise MalformedColumnsError(f"input '{tensor.label}' must have the shape [N] or [N, 1]")
    if not features:
        raise MalformedColumnsError("the request has no input that is a feature")
    return features, read_extras(names, lambda name: extras[name].values)


def header_unit(exchange: Exchange) -> str | None:
    """Return the unit that the header X-Fairmind-Unit names for all rows, None where it is not there.

    Raises:
        MalformedRequestError: It is no UTF-8, or too long.
    """
    raw = exchange.header(b"x-fairmind-unit")
    if raw is None:
        return None
    try:
        unit = raw.decode()
    except UnicodeDecodeError:
        raise MalformedRequestError("the header X-Fairmind-Unit must be UTF-8") from None
    if not 0 < len(unit) <= _MAX_TEXT:
        raise MalformedRequestError(f"the header X-Fairmind-Unit must have 1 to {_MAX_TEXT} characters")
    return unit


def header_override(exchange: Exchange) -> str | None:
    """Return the header X-Fairmind-Override as it came, None where it is not there."""
    raw = exchange.header(b"x-fairmind-override")
    return None if raw is None else raw.decode("latin-1")


def units_of(extras: RowExtras, unit: str | None, rows: int) -> Sequence[str | None] | None:
    """Return each row's unit: its own, or where it has none that of the whole request."""
    if extras.units is None:
        return None if unit is None else [unit] * rows
    return extras.units if unit is None else [own or unit for own in extras.units]


def _texts(name: str, values: Values) -> list[str | None]:
    longest = None if name.startswith(PROTECTED) else _MAX_TEXT
    given = _listed(values)
    texts: list[str | None] = []
    known: dict[Any, str | None] = {}
    for row, value in enumerate(given):
        if type(value) is str and value in known:
            texts.append(known[value])
            continue
        text = _text(value)
        if text is None and not _is_missing(value):
            raise SignatureMismatchError(
                "must be a string", kind=Mismatch.WRONG_TYPE, column=name[:_MAX_TEXT], row=row
            )
        if text is not None and longest is not None and len(text) > longest:
            raise SignatureMismatchError(
                f"must have at most {longest} characters", column=name[:_MAX_TEXT], row=row
            )
        if type(value) is str:
            known[value] = text
        texts.append(text)
    return texts


def _listed(values: Values) -> list[Any]:
    if isinstance(values, Texts):
        values = values.array()
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _text(value: Any) -> str | None:
    if type(value) is str:
        return value or None
    return str(value) if type(value) is int else None


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or (type(value) is float and value != value)  # noqa: PLR0124  (NaN)


def _any(texts: list[str | None] | None) -> list[str | None] | None:
    return texts if texts is not None and texts.count(None) < len(texts) else None


def _protected(columns: Mapping[str, list[str | None]]) -> list[Mapping[str, str | None] | None] | None:
    """Return one mapping per row; rows that say the same share one."""
    present = {attribute: values for attribute, values in columns.items() if _any(values)}
    if not present:
        return None
    shared: dict[tuple[str | None, ...], Mapping[str, str | None] | None] = {}
    rows: list[Mapping[str, str | None] | None] = []
    for told in zip(*present.values(), strict=True):
        if told not in shared:
            said = {name: value for name, value in zip(present, told, strict=True) if value is not None}
            shared[told] = said or None
        rows.append(shared[told])
    return rows
