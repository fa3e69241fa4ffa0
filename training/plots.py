"""The pictures a person looks at before promoting a version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, roc_curve

from fairness.rates import Rate
from fairness.report import AttributeReport, GroupReport
from inference.signature import Task
from training.evaluation import Evaluation
from training.labels import Labels

_RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")
_INK, _MUTED = "#1f4e79", "#b0b0b0"
_DOTS_PER_INCH = 110


def figures(evaluation: Evaluation, labels: Labels, title: str) -> Iterator[tuple[str, Figure]]:
    """Yield file name and figure: quality first, then one figure of group rates per protected attribute.

    Figures are made without pyplot: nothing global is touched and no display is needed.
    """
    if evaluation.probabilities is None:
        yield "predicted_and_true.png", _scatter(evaluation, title)
    elif labels.task is Task.BINARY:
        yield "roc_and_calibration.png", _roc_and_calibration(evaluation, evaluation.probabilities, labels, title)
    else:
        yield "confusion.png", _confusion(evaluation, labels, title)
    for attribute in evaluation.bias.attributes if evaluation.bias else ():
        safe = "".join(letter if letter.isalnum() else "_" for letter in attribute.attribute)
        yield f"rates_by_{safe}.png", group_rates(attribute, title)


def group_rates(attribute: AttributeReport, title: str) -> Figure:
    """Return the rates of every group with their 95 % intervals; grey ones rest on too few rows to be compared."""
    groups = attribute.groups
    figure = Figure(figsize=(11, 1.6 + 0.34 * len(groups)), dpi=_DOTS_PER_INCH, layout="constrained")
    figure.suptitle(f"{title}: rates by {attribute.attribute} (95 % intervals)")
    axes = figure.subplots(1, len(_RATES), sharey=True)
    for panel, name in zip(axes, _RATES, strict=True):
        for position, group in enumerate(groups):
            _draw_rate(panel, position, getattr(group, name), compared=name in group.compared)
        panel.set_title(name.replace("_", " "), fontsize=10)
        panel.set_xlim(-0.03, 1.03)
        panel.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(groups)), [_group_label(group) for group in groups])
    axes[0].invert_yaxis()
    return figure


def _group_label(group: GroupReport) -> str:
    name = group.group if len(group.group) <= 24 else group.group[:23] + "…"
    # Matplotlib reads a dollar sign as the start of a formula.
    return f"{name} (n={group.rows:,})".replace("$", r"\$")


def _draw_rate(panel: Any, position: int, rate: Rate, *, compared: bool) -> None:
    if rate.value is None or rate.lower is None or rate.upper is None:
        panel.annotate("undefined", (0.02, position), color=_MUTED, va="center", fontsize=8)
        return
    colour = _INK if compared else _MUTED
    panel.hlines(position, rate.lower, rate.upper, color=colour, linewidth=2)
    panel.plot(rate.value, position, "o", color=colour, markersize=5)


def _roc_and_calibration(
    evaluation: Evaluation, probabilities: NDArray[np.float64], labels: Labels, title: str
) -> Figure:
    second = evaluation.truth == labels.classes[1]
    score = probabilities[:, 1]
    figure = Figure(figsize=(10, 4.6), dpi=_DOTS_PER_INCH, layout="constrained")
    figure.suptitle(f"{title}: {evaluation.rows:,} held-out rows")
    roc, calibration = figure.subplots(1, 2)
    false_positive, true_positive, _ = roc_curve(second, score)
    roc.plot(false_positive, true_positive, color=_INK)
    roc.set(xlabel="false positive rate", ylabel="true positive rate")
    roc.set_title(f"ROC, AUC {evaluation.quality['roc_auc']:.3f}", fontsize=10)
    # Quantile bins hold equally many rows each, so that no dot rests on a handful of people.
    observed, expected = calibration_curve(second, score, n_bins=10, strategy="quantile")
    calibration.plot(expected, observed, "o-", color=_INK)
    calibration.set(xlabel=f"predicted P({labels.classes[1]})", ylabel="observed share")
    calibration.set_title(f"Calibration, Brier score {evaluation.quality['brier']:.3f}", fontsize=10)
    for panel in (roc, calibration):
        panel.plot([0, 1], [0, 1], "--", color=_MUTED, linewidth=1)
        panel.set_aspect("equal")
        panel.grid(alpha=0.3)
    return figure


def _confusion(evaluation: Evaluation, labels: Labels, title: str) -> Figure:
    shares = confusion_matrix(evaluation.truth, evaluation.predicted, labels=list(labels.classes), normalize="true")
    figure = Figure(figsize=(6.5, 5.5), dpi=_DOTS_PER_INCH, layout="constrained")
    figure.suptitle(f"{title}: {evaluation.rows:,} held-out rows, share of each true class")
    panel = figure.subplots()
    figure.colorbar(panel.imshow(shares, cmap="Blues", vmin=0, vmax=1))
    names = [str(label)[:24].replace("$", r"\$") for label in labels.classes]
    panel.set_xticks(range(len(names)), names, rotation=90)
    panel.set_yticks(range(len(names)), names)
    panel.set(xlabel="predicted", ylabel="true")
    return figure


def _scatter(evaluation: Evaluation, title: str) -> Figure:
    figure = Figure(figsize=(6, 5), dpi=_DOTS_PER_INCH, layout="constrained")
    figure.suptitle(f"{title}: {evaluation.rows:,} held-out rows, R² {evaluation.quality['r2']:.3f}")
    panel = figure.subplots()
    # Counts per cell, not one dot per person.
    panel.hexbin(evaluation.truth, evaluation.predicted, gridsize=40, mincnt=1, cmap="Blues")
    ends = [float(evaluation.truth.min()), float(evaluation.truth.max())]
    panel.plot(ends, ends, "--", color=_MUTED, linewidth=1)
    panel.set(xlabel="true value", ylabel="predicted value")
    return figure
