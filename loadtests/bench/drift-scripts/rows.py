"""The rows whose drift is measured: `python rows.py ROWS FOLDER` writes reference.parquet and current.parquet.

Forty numbers (continuous, skewed, with gaps, of few values) and ten texts of three to forty categories; every fifth
column of the current rows has moved a little.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd


def made(rows: int, seed: int, moved: float) -> pd.DataFrame:
    """Return rows; `moved` is by how much every fifth column is elsewhere."""
    draw = np.random.default_rng(seed)
    columns: dict[str, object] = {}
    for place in range(50):
        by = moved if place % 5 == 0 else 0.0
        if place < 20:
            columns[f"number_{place}"] = draw.normal(by, 1.0, rows)
        elif place < 30:
            values = draw.lognormal(by, 1.0, rows)
            values[draw.random(rows) < 0.05] = np.nan
            columns[f"amount_{place}"] = values
        elif place < 40:
            columns[f"count_{place}"] = draw.poisson(3.0 + by, rows)
        else:
            names = np.array([f"category {name}" for name in range(3 + 4 * (place - 40))], dtype=object)
            chosen = np.minimum(draw.geometric(0.2 - by / 10, rows) - 1, len(names) - 1)
            columns[f"text_{place}"] = pd.Series(names[chosen], dtype="str")
    return pd.DataFrame(columns)


def main() -> None:
    """Write both tables."""
    rows, folder = int(sys.argv[1]), Path(sys.argv[2])
    made(rows, 0, 0.0).to_parquet(folder / "reference.parquet", index=False)
    made(rows, 1, 0.6).to_parquet(folder / "current.parquet", index=False)


if __name__ == "__main__":
    main()
