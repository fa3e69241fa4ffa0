"""What the demo prints: figures it measured, and where to look next."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from cli.models import print_gates
from cli.output import results, table

if TYPE_CHECKING:
    from cli.demo_traffic import Answered
    from training.trained_version import TrainedVersion


def print_versions(versions: list[TrainedVersion]) -> None:
    """Print what was trained, how good it is, and what its gates say."""
    for version in versions:
        metrics = version.metrics
        results.print(
            f"\n[bold]{version.name}/{version.version}[/bold] {version.estimator}: "
            f"ROC AUC {metrics['roc_auc']:.4f}, accuracy {metrics['accuracy']:.4f}; "
            f"compiled form equal to {version.proof.largest_difference:.0e} on {version.proof.rows:,} rows"
        )
        print_gates([result.model_dump(mode="json") for result in version.gates.results])


def print_result(answered: list[Answered], seconds: float, weight: float, tests: dict[str, dict[str, Any]]) -> None:
    """Print split, latency, rates with intervals and verdicts."""
    total = len(answered)
    challengers = sum(answer.variant == "challenger" for answer in answered)
    spread = 2 * math.sqrt(weight * (1 - weight) / total)
    cuts = statistics.quantiles([answer.seconds * 1000 for answer in answered], n=100)
    results.print(
        f"\n[bold]split[/bold]    {challengers / total:.1%} of {total:,} people were answered by the challenger "
        f"(wanted {weight:.0%}, 95 % of draws within ±{spread:.1%})"
    )
    results.print(
        f"[bold]latency[/bold]  {total / seconds:,.0f} requests/s, p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms "
        "(16 at a time, as the client on this machine saw it)"
    )
    _print_rates(tests)
    _print_verdicts(tests)


def print_urls(url: str, mlflow_url: str, rollout_id: str) -> None:
    """Print where to look next."""
    shown = table("Open next", "", "")
    shown.add_row("API docs", f"{url}/api/v1/docs")
    shown.add_row("BentoML docs", url)
    shown.add_row("models", f"{url}/api/v1/models")
    shown.add_row("metrics", f"{url}/metrics")
    shown.add_row("MLflow", mlflow_url)
    shown.add_row("promote it", f"fairmind rollout promote {rollout_id}")
    results.print()
    results.print(shown)


def _print_rates(tests: dict[str, dict[str, Any]]) -> None:
    shown = table(
        "Selection rates on live traffic (95 % Wilson intervals)", "variant", "attribute", "group", "people", "rate"
    )
    for variant, test in tests.items():
        for attribute in test["attributes"]:
            for group in attribute["groups"]:
                rate = group["selection_rate"]
                interval = (
                    "undefined"
                    if rate["value"] is None
                    else f"{rate['value']:.3f} ({rate['lower']:.3f} to {rate['upper']:.3f})"
                )
                small = " [dim](small)[/dim]" if group["small"] else ""
                shown.add_row(
                    variant, attribute["attribute"], group["group"], f"{group['rows']:,}{small}", interval
                )
    results.print()
    results.print(shown)


def _print_verdicts(tests: dict[str, dict[str, Any]]) -> None:
    shown = table("Bias verdicts", "variant", "on", "disparity", "value", "limit", "verdict")
    notes = []
    for variant, test in tests.items():
        for attribute in test["attributes"]:
            for disparity in attribute["disparities"]:
                verdict, value = disparity["verdict"], disparity["value"]
                if verdict is None:
                    continue
                colour = {"pass": "green", "fail": "red"}.get(verdict, "yellow")
                name = attribute["attribute"]
                shown.add_row(
                    variant,
                    name,
                    disparity["metric"],
                    "-" if value is None else f"{value:.3f}",
                    f"{disparity['limit']:g}",
                    f"[{colour}]{verdict.replace('_', ' ')}[/{colour}]"
                    + ("" if disparity["gating"] else " (shown only)"),
                )
                if disparity["note"] and disparity["gating"]:
                    notes.append(f"{variant}, {disparity['metric']} on {name}: {disparity['note']}")
    results.print()
    results.print(shown)
    for note in notes:
        results.print(f"[dim]{note}[/dim]")
