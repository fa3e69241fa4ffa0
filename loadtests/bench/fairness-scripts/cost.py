"""What measuring bias costs beside Fairlearn: `python cost.py ROWS ROUNDS FAIRLEARN_ROUNDS` prints a JSON object.

Two attributes with ten groups together, every rate with its aggregates, seconds per round, in turns. Run in the
project's own environment, as a process with one thread: load tests themselves know the service by its network only.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import fairlearn.metrics as fairlearn
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics

from fairness.aggregates import aggregates
from fairness.counts import GroupCounts
from fairness.disparities import Metric
from fairness.gate import default_policy
from fairness.permutation import permutation_null
from fairness.report import measure
from fairness.resampling import bootstrap_interval, resample
from fairness.tables import count_groups_of, intersection_name

ATTRIBUTES = ("sex", "race")
TOGETHER = intersection_name(ATTRIBUTES)
FAVOURABLE = 1
METRICS: Mapping[str, Callable[..., float]] = {
    "selection_rate": fairlearn.selection_rate,
    "true_positive_rate": fairlearn.true_positive_rate,
    "false_positive_rate": fairlearn.false_positive_rate,
    "true_negative_rate": fairlearn.true_negative_rate,
    "false_negative_rate": fairlearn.false_negative_rate,
    "precision": metrics.precision_score,
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "f1": metrics.f1_score,
    "count": fairlearn.count,
}


def main() -> None:
    """Measure, and print seconds by what was done, and by how much the values differ from Fairlearn's."""
    rows, rounds, fairlearn_rounds = map(int, sys.argv[1:])
    generator = np.random.default_rng(0)
    sex = np.array(["female", "male"], dtype=object)[generator.integers(0, 2, rows)]
    race = np.array([f"group {i}" for i in range(5)], dtype=object)[generator.integers(0, 5, rows)]
    truth = generator.integers(0, 2, rows)
    decision = np.where(generator.random(rows) < 0.8, truth, generator.integers(0, 2, rows))
    frame = pd.DataFrame({"sex": sex, "race": race})
    coded = frame.astype("category")
    columns: dict[str, Mapping[str, Any]] = {
        "strings": {"sex": sex.tolist(), "race": race.tolist()},
        "pandas": {name: frame[name] for name in ATTRIBUTES},
        "codes": {name: coded[name] for name in ATTRIBUTES},
    }
    groups = _counted(columns["codes"], truth, decision)[TOGETHER]
    policy = default_policy([*ATTRIBUTES, TOGETHER])
    jobs: dict[str, Callable[[], object]] = {
        name: lambda each=each: _all_aggregates(_counted(each, truth, decision))  # type: ignore[misc]
        for name, each in columns.items()
    }
    jobs["report"] = lambda: measure(
        columns["codes"], truth, decision, FAVOURABLE, policy, intersections=[ATTRIBUTES]
    )
    jobs["bootstrap"] = lambda: _bootstrap(groups)
    jobs["permutation"] = lambda: [
        permutation_null(metric, groups, np.random.default_rng(1), minimum_rows=30) for metric in Metric
    ]
    seconds: dict[str, list[float]] = {name: [] for name in (*jobs, "fairlearn")}
    differ = 0.0
    for turn in range(rounds):
        for name, job in jobs.items():
            seconds[name].append(_timed(job)[0])
        if turn < fairlearn_rounds:
            taken, theirs = _timed(lambda: _fairlearn(frame, truth, decision))
            seconds["fairlearn"].append(taken)
            ours = aggregates(groups)
            differ = max(abs((ours[name].value or 0.0) - value) for name, value in theirs.items())
    json.dump({"rows": rows, "seconds": seconds, "differ": differ}, sys.stdout)


def _timed(job: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = job()
    return time.perf_counter() - started, result


def _counted(
    columns: Mapping[str, Any], truth: NDArray[Any], decision: NDArray[Any]
) -> dict[str, dict[str, GroupCounts]]:
    return count_groups_of(columns, truth, decision, FAVOURABLE, intersections=[ATTRIBUTES])


def _all_aggregates(counted: Mapping[str, Mapping[str, GroupCounts]]) -> object:
    return [aggregates(groups) for groups in counted.values()]


def _bootstrap(groups: Mapping[str, GroupCounts]) -> object:
    drawn = resample(groups, np.random.default_rng(1), 1000)
    return [bootstrap_interval(metric, groups, drawn) for metric in Metric]


def _fairlearn(frame: pd.DataFrame, truth: NDArray[Any], decision: NDArray[Any]) -> dict[str, float]:
    """Return Fairlearn's values by our names; it groups by both columns at once, one table of our three."""
    measured = fairlearn.MetricFrame(metrics=dict(METRICS), y_true=truth, y_pred=decision, sensitive_features=frame)
    kinds = {
        "difference": measured.difference(),
        "ratio": measured.ratio(),
        "group_min": measured.group_min(),
        "group_max": measured.group_max(),
    }
    return {
        f"{name}_{kind}": float(values[name])
        for kind, values in kinds.items()
        for name in METRICS
        if name != "count"
    }


if __name__ == "__main__":
    main()
