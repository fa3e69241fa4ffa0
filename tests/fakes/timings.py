"""Measuring briefly: which of the proven runtimes is the quickest matters to no test of their answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from compilation import parity, selection, timing


@contextmanager
def measured_briefly() -> Iterator[None]:
    """Call each runtime at each size once, not up to sixty times, wherever costs are measured in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (parity, selection):
            patch.setattr(module, "REPEATS", dict.fromkeys(timing.REPEATS, 1))
        yield
