"""The tables and pictures of the worked example of drift."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

from training.census_drift import CensusDrift, Part

JSON_FILE: Final = "drift-census.json"
PAGE: Final = "drift.md"
_INK, _MUTED, _WARM = "#1f4e79", "#b0b0b0", "#c55a11"


def write(found: CensusDrift, docs: Path) -> None:
    """Write the numbers, the pictures, and the tables into the page where it has places for them."""
    (docs / JSON_FILE).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (docs / "images").mkdir(exist_ok=True)
    # Texts stay texts and ids are the same each time, so that a picture changes only with what it shows.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fairmind"}):
        for name, figure in (("drift-accuracy.svg", _accuracy(found)), ("drift-psi.svg", _psi(found))):
            figure.savefig(docs / "images" / name, metadata={"Date": None})
    page = docs / PAGE
    if page.exists():
        page.write_text(with_tables(page.read_text(encoding="utf-8"), tables(found)), encoding="utf-8")


def with_tables(page: str, made: Mapping[str, str]) -> str:
    """Return the page with each table between its marks."""
    for name, table in made.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        page = re.sub(pattern, lambda found, table=table: found[1] + table + found[2], page, flags=re.DOTALL)  # type: ignore[misc] # the table of this turn
    return page


def tables(found: CensusDrift) -> dict[str, str]:
    """Return the tables of the page by their names."""
    return {"years": _years(found), "features": _features(found), "batches": _batches(found)}


def _years(found: CensusDrift) -> str:
    lines = [
        "| year | rows | drift | largest PSI | accuracy estimated | 95 % interval | came true | difference |",
        "|---|---|---|---|---|---|---|---|",
        f"| 2015, held out | {found.held_out_rows:,} | | | | | {found.held_out_accuracy:.4f} | |",
    ]
    for part in found.years:
        largest, off = f"{part.largest_psi:.4f} ({part.largest_feature})", part.estimated - part.came_true
        lines.append(
            f"| {part.name} | {part.rows:,} | {part.verdict} | {largest} | {part.estimated:.4f} "
            f"| {part.lower:.4f} to {part.upper:.4f} | {part.came_true:.4f} | {off:+.4f} |"
        )
    return "\n".join(lines) + "\n"


def _features(found: CensusDrift) -> str:
    years = [part.name for part in found.years]
    lines = ["| feature | " + " | ".join(years) + f" | verdict {years[-1]} |", "|---" * (len(years) + 2) + "|"]
    for feature in found.features:
        sizes = " | ".join(f"{feature.psi[year]:.4f}" for year in years)
        lines.append(f"| {feature.name} | {sizes} | {feature.verdict} |")
    return "\n".join(lines) + "\n"


def _batches(found: CensusDrift) -> str:
    parts = found.batches
    estimated = sum(abs(part.estimated - part.came_true) for part in parts) / len(parts)
    constant = sum(abs(found.held_out_accuracy - part.came_true) for part in parts) / len(parts)
    held, wide = sum(part.is_held for part in parts), _mean_width(parts)
    came_true = [part.came_true for part in parts]
    what = Counter(name for part in parts for name in part.drifted).most_common(1)
    said = sorted(Counter(part.verdict for part in parts).items())
    lines = [
        "| batches of 5,000 rows | |",
        "|---|---|",
        f"| batches | {len(parts)} |",
        f"| accuracy that came true | {min(came_true):.4f} to {max(came_true):.4f} |",
        f"| within the 95 % interval | {held} of {len(parts)} |",
        f"| mean width of the interval | {wide:.4f} |",
        f"| mean absolute error of the estimate | {estimated:.4f} |",
        f"| the same, of taking the held-out accuracy of 2015 | {constant:.4f} |",
        *(f"| verdict `{verdict}` | {count} |" for verdict, count in said),
        *(f"| drifted most often | {name}, in {count} |" for name, count in what),
    ]
    return "\n".join(lines) + "\n"


def _mean_width(parts: tuple[Part, ...]) -> float:
    return sum(part.upper - part.lower for part in parts) / len(parts)


def _accuracy(found: CensusDrift) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    places = range(1, len(found.batches) + 1)
    lower, upper = ([getattr(part, end) for part in found.batches] for end in ("lower", "upper"))
    axes.fill_between(places, lower, upper, color=_INK, alpha=0.15, linewidth=0, label="95 % interval")
    axes.plot(places, [part.estimated for part in found.batches], color=_INK, label="estimated without outcomes")
    axes.plot(places, [part.came_true for part in found.batches], ".", color=_WARM, label="came true")
    axes.axhline(found.held_out_accuracy, color=_MUTED, linestyle="--", linewidth=1, label="held out in 2015")
    seen = 0
    for year in found.years:
        axes.axvline(seen / 5_000 + 0.5, color=_MUTED, linewidth=0.8)
        axes.text(seen / 5_000 + 0.8, 0.02, year.name, transform=axes.get_xaxis_transform(), color="#606060")
        seen += year.rows
    axes.set_xlabel("batch of 5,000 rows, in the file's order")
    axes.set_ylabel("accuracy")
    axes.legend(fontsize=8, ncols=2, loc=(0.03, 0.14))
    return figure


def _psi(found: CensusDrift) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    width, shades = 0.27, ("#9dc3e6", "#2e75b6", _INK)
    for place, (year, shade) in enumerate(zip(found.years, shades, strict=False)):
        at = [number + (place - 1) * width for number in range(len(found.features))]
        axes.bar(at, [feature.psi[year.name] for feature in found.features], width, color=shade, label=year.name)
    axes.set_xticks(range(len(found.features)), [feature.name for feature in found.features], rotation=45)
    axes.axhline(0.1, color=_WARM, linewidth=1, label="counts as drift from here")
    axes.set_yscale("log")
    axes.set_ylim(top=1.0)
    axes.set_ylabel("population stability index")
    axes.legend(fontsize=8, ncols=4, loc="upper right")
    return figure
