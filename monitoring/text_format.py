"""Prometheus's text format, version 0.0.4, written for thousands of series.

The client library's writer takes a Python object and a dozen calls per sample; a histogram is fourteen samples, and
a deployment of a hundred models has hundreds of them. Here a histogram's labels are written once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from monitoring.metrics import DEFINITIONS, Kind
from monitoring.state_gauges import Gauge

Key = tuple[str, ...]
"""A metric's name, then the values of its labels."""
Counts = tuple[Sequence[int], float]
"""Observations per bucket, with those above the last bound at the end, and their sum."""

_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_WORDS: Final = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


def totals_lines(numbers: Mapping[Key, float], histograms: Mapping[Key, Counts]) -> Iterator[str]:
    """Return the lines of what processes counted, in the order of `DEFINITIONS`; what is not there is left out.

    So is what another release counted by other names or labels.
    """
    by_name: defaultdict[str, list[Key]] = defaultdict(list)
    for key in sorted([*numbers, *histograms]):
        definition = DEFINITIONS.get(key[0])
        if definition is not None and len(definition.labels) == len(key) - 1:
            by_name[key[0]].append(key)
    for name, definition in DEFINITIONS.items():
        keys = by_name.get(name)
        if not keys:
            continue
        exposed = f"{name}_total" if definition.kind is Kind.COUNTER else name
        yield from _head(exposed, definition.help, definition.kind)
        if definition.kind is Kind.HISTOGRAM:
            bounds = [*map(repr, map(float, definition.buckets)), "+Inf"]
            for key in keys:
                yield from _histogram(name, _labels(definition.labels, key[1:]), bounds, *histograms[key])
        else:
            for key in keys:
                yield _sample(exposed, _labels(definition.labels, key[1:]), numbers[key])


def state_lines(gauges: Iterable[Gauge]) -> Iterator[str]:
    """Return the lines of gauges that a scrape has set; one that has no value is left out."""
    for gauge in gauges:
        if gauge.values:
            yield from _head(gauge.name, gauge.told, gauge.kind)
        for values, value in gauge.values.items():
            yield _sample(gauge.name, _labels(gauge.label_names, values), value)


def _head(name: str, told: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {told.translate(_HELP_ESCAPES)}", f"# TYPE {name} {kind}"


def _sample(name: str, labels: str, value: float) -> str:
    return f"{name}{{{labels}}} {_number(value)}" if labels else f"{name} {_number(value)}"


def _histogram(name: str, labels: str, bounds: Sequence[str], counts: Sequence[int], total: float) -> Iterator[str]:
    start = f'{name}_bucket{{{labels},le="'
    below = 0
    for bound, below in zip(bounds, accumulate(counts), strict=True):
        yield f'{start}{bound}"}} {below}'
    yield f"{name}_count{{{labels}}} {below}"
    yield f"{name}_sum{{{labels}}} {_number(total)}"


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)])


def _escaped(value: str) -> str:
    return value if value.isalnum() else value.translate(_ESCAPES)


def _number(value: float) -> str:
    """Return a number as Go reads it."""
    text = repr(float(value))
    return text if text[-1].isdigit() else _WORDS[text]
