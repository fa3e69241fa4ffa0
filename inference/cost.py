"""How long a model call takes, learned from the calls made."""

from __future__ import annotations

import time
from dataclasses import dataclass

from inference.runtime import Columns
from inference.served_model import ServedModel

_SMOOTHING = 0.1


@dataclass(slots=True)
class CostModel:
    """Predicts the seconds of one call from its rows: a fixed part and a part per row."""

    fixed: float = 50e-6
    per_row: float = 10e-6

    def predict(self, rows: int, calls: int = 1) -> float:
        """Return the expected seconds of `rows` rows in so many calls."""
        return self.fixed * calls + self.per_row * rows

    def learn(self, rows: int, seconds: float) -> None:
        """Move both parts towards what a call just took, in proportion."""
        ratio = min(max(seconds / self.predict(rows), 0.1), 10.0)
        factor = 1.0 + _SMOOTHING * (ratio - 1.0)
        self.fixed *= factor
        self.per_row *= factor


def measure(model: ServedModel, columns: Columns, *, many: int = 256, repeats: int = 5) -> CostModel:
    """Warm the model up on its first row and return what one and `many` rows cost."""
    one = {name: values[:1] for name, values in columns.items()}
    block = {name: values[:1].repeat(many) for name, values in columns.items()}

    def fastest(rows: int, data: Columns) -> float:
        best = float("inf")
        for _ in range(repeats):
            started = time.perf_counter()
            model.predict(data, rows)
            best = min(best, time.perf_counter() - started)
        return best

    first, last = fastest(1, one), fastest(many, block)
    per_row = max((last - first) / (many - 1), 1e-9)
    return CostModel(fixed=max(first - per_row, 1e-9), per_row=per_row)
