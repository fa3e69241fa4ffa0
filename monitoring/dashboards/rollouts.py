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
            "Challengers' weights",
            "Their shares of the units.",
            Query(
                'max by (model, variant) (fairmind_traffic_weight_ratio{variant!="champion",model=~"$model"})',
                "{{model}} {{variant}}",
            ),
            unit="percentunit",
        )
    )
    made.with_panel(
        series(
            "Nothing was done for",
            "To a rollout that is active; or the alias has not followed a promotion.",
            Query(f"max by (model) (fairmind_rollout_unchanged_seconds{_OF})", "{{model}}"),
            Query(
                f"max by (model) (fairmind_rollout_promotion_waiting_seconds{_OF}) or vector(0)",
                "{{model}} waits for its alias",
            ),
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
        table(
            "Guardrails",
            "What was last found of each; violated ones are rolled back, held or told, as the plan says.",
            Query(f"max by (model, variant, metric, verdict) (fairmind_rollout_verdict{_OF})"),
        )
    )
    made.with_panel(
        series(
            "Guardrails by verdict",
            "Of active rollouts. A rollout is promoted when all that are required have passed.",
            Query(
                "count by (model, verdict) (max by (model, variant, metric, verdict) "
                f"(fairmind_rollout_verdict{_OF}))",
                "{{model}} {{verdict}}",
            ),
        )
    )
    made.with_panel(
        series(
            "Shadow rows",
            "Rows per second that a challenger scores beside the champion; dropped ones found no room.",
            Query(
                f"sum by (model, outcome) (rate(fairmind_shadow_rows_total{_OF}[$__rate_interval]))",
                "{{model}} {{outcome}}",
            ),
            unit="rowsps",
        )
    )
    made.with_panel(
        series(
            "Shadow latency, 95th percentile",
            "How long a challenger takes to score rows beside the champion; no answer waits for it.",
            Query(
                "histogram_quantile(0.95, sum by (model, le) "
                f"(rate(fairmind_shadow_duration_seconds_bucket{_OF}[$__rate_interval])))",
                "{{model}}",
            ),
            unit="s",
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
