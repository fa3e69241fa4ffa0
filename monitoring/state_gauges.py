"""Gauges that are set anew at each scrape, with the client library's manners and a part of its cost.

Its gauges check and lock at each label value, for threads that count for as long as a process lives; these live for
one scrape, in one thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monitoring.metrics import Kind


class StateRegistry:
    """The gauges of one scrape, in the order in which they were made."""

    def __init__(self) -> None:
        self.gauges: list[Gauge] = []

    def get_sample_value(self, name: str, labels: Mapping[str, str] | None = None) -> float | None:
        """Return the value that was set of that name and those labels, None where none was."""
        wanted = labels or {}
        for gauge in self.gauges:
            if gauge.name == name and wanted.keys() == set(gauge.label_names):
                return gauge.values.get(tuple(wanted[label] for label in gauge.label_names))
        return None


class Gauge:
    """One name with its labels; `values` by label values, in the order of `label_names`.

    Args:
        name: As it is exposed, of a counter with `_total`.
        told: What it tells.
        label_names: Names of the labels; without any there is one value.
        registry: Where it is found at the end of the scrape.
        kind: A counter is one that is told whole, by a database that counts.
    """

    def __init__(
        self,
        name: str,
        told: str,
        label_names: Sequence[str] = (),
        *,
        registry: StateRegistry,
        kind: Kind = Kind.GAUGE,
    ) -> None:
        self.name, self.told, self.label_names, self.kind = name, told, tuple(label_names), kind
        self.values: dict[tuple[str, ...], float] = {}
        registry.gauges.append(self)

    def labels(self, *values: str) -> Labelled:
        """Return the sample of some label values, to be set.

        Raises:
            ValueError: There are more labels than values, or fewer.
        """
        if len(values) != len(self.label_names):
            raise ValueError(f"{self.name} has the labels {', '.join(self.label_names) or 'none'}")
        return Labelled(self.values, values)

    def set(self, value: float) -> None:
        """Set the value of a gauge without labels."""
        self.labels().set(value)


class Labelled:
    """One sample of a gauge."""

    __slots__ = ("_key", "_values")

    def __init__(self, values: dict[tuple[str, ...], float], key: tuple[str, ...]) -> None:
        self._values, self._key = values, key

    def set(self, value: float) -> None:
        """Set the value."""
        self._values[self._key] = float(value)
