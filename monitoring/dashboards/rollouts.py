"""Rollouts: where they stand, what was done to them."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards.panels import Query, board, series, table

_OF: Final = '{model=~"$model"}'


def rollouts() -> Dashboard:
    """Return the dashboard."""
    made = board("rollouts", "FairMind: rollouts", "Where each rollout stands, its weight, what was decided.")
    made.with_panel(
        table(
            "State",
            "Of the newest rollout of each model that is served.",
            Query(f"max by (model, state) (fairmind_rollout_state{_OF})"),
        )
    )
    made.with_panel(
        series(
            "Challenger's weight",
            "Its share of the units.",
            Query(
                'max by (model) (fairmind_traffic_weight_ratio{variant="challenger",model=~"$model"})', "{{model}}"
            ),
            unit="percentunit",
        )
    )
    made.with_panel(
        series(
            "Nothing was done for",
            "To a rollout that is active.",
            Query(f"max by (model) (fairmind_rollout_unchanged_seconds{_OF})", "{{model}}"),
            unit="s",
        )
    )
    made.with_panel(
        series(
            "What was done",
            "Changes within an hour.",
            Query(
                f"max by (model, outcome) (increase(fairmind_rollout_decisions_total{_OF}[1h]))",
                "{{model}} {{outcome}}",
            ),
        )
    )
    made.with_panel(
        series(
            "Predictions by variant",
            "Rows per second.",
            Query(
                f"sum by (model, variant) (rate(fairmind_predictions_total{_OF}[$__rate_interval]))",
                "{{model}} {{variant}}",
            ),
            unit="rowsps",
            span=24,
        )
    )
    return made
