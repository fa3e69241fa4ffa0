"""How long lists are asked for, a piece at a time."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Query

_MOST_LISTED: Final = 500
_LARGEST: Final = 2**63 - 1  # what databases count to

Limit = Annotated[int, Query(ge=1, le=_MOST_LISTED)]
"""How many to list."""
Offset = Annotated[int, Query(ge=0, le=_LARGEST)]
"""How many to leave out before them."""
