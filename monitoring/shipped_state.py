"""How far the shipper is, in a small file: serving workers ask no database how much of the spool waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True)
class ShippedState:
    """The bytes that are shipped of each segment in the spool, and the rows that are not, at the time `at`.

    `at` is in seconds since 1970; 0 where no shipper has been here yet.
    """

    offsets: Mapping[str, int] = field(default_factory=dict)
    rows: int = 0
    at: float = 0.0


def write_shipped_state(path: Path, state: ShippedState) -> None:
    """Replace the file in one step.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole = path.with_suffix(".tmp")
    whole.write_bytes(orjson.dumps(state))
    whole.replace(path)


def read_shipped_state(path: Path | None) -> ShippedState:
    """Return what the shipper wrote last; where there is no file that can be read, that nothing is shipped."""
    try:
        return ShippedState() if path is None else ShippedState(**orjson.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return ShippedState()
