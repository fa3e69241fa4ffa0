"""Models and their variants: which version serves whom, how much and how quickly."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards.panels import Query, board, row, series, table

_OF: Final = '{model=~"$model"}'
_RATE: Final = f"{_OF}[$__rate_interval]"


def models() -> Dashboard:
    """Return the dashboard."""
    made = board("models", "FairMind: models and variants", "Which version serves whom, how much, how quickly.")
    made.with_panel(
        table(
            "What serves",
            "Each variant with its version and its share of the units.",
            Query(
                f"fairmind_traffic_weight_ratio{_OF} * on (instance, model, variant) "
                f"group_left (model_version) fairmind_model_info{_OF}"
            ),
            unit="percentunit",
        )
    )
    made.with_panel(
        series(
            "Loaded versions",
            "Per minute: once per worker and version, `failed` where it was refused.",
            Query(
                f"60 * sum by (model, outcome) (rate(fairmind_model_reload_total{_RATE}))", "{{model}} {{outcome}}"
            ),
        )
    )
    made.with_panel(
        series(
            "Versions that are missing",
            "To serve, and not here: /api/v1/models says why. 0 where all are here.",
            Query(
                f"sum by (model, model_version) (fairmind_model_missing{_OF}) or vector(0)",
                "{{model}}/{{model_version}}",
            ),
            limit=1,
        )
    )
    made.with_panel(
        series(
            "Weights",
            "The share of units that a variant is assigned.",
            Query(f"max by (model, variant) (fairmind_traffic_weight_ratio{_OF})", "{{model}} {{variant}}"),
            unit="percentunit",
        )
    )
    made.with_row(row("By variant"))
    made.with_panel(
        series(
            "Predictions",
            "Rows per second.",
            Query(f"sum by (model, variant) (rate(fairmind_predictions_total{_RATE}))", "{{model}} {{variant}}"),
            unit="rowsps",
        )
    )
    made.with_panel(
        series(
            "Latency, 95th percentile",
            "From the first byte read to the answer handed over.",
            Query(
                "histogram_quantile(0.95, sum by (model, variant, le) "
                f"(rate(fairmind_request_duration_seconds_bucket{_RATE})))",
                "{{model}} {{variant}}",
            ),
            unit="s",
        )
    )
    made.with_panel(
        series(
            "Share of the rows",
            "Beside the weights: they differ where rows say no unit, which the champion answers.",
            Query(
                f"sum by (model, variant) (rate(fairmind_predictions_total{_RATE})) / on (model) group_left () "
                f"sum by (model) (rate(fairmind_predictions_total{_RATE}))",
                "{{model}} {{variant}}",
            ),
            unit="percentunit",
        )
    )
    made.with_panel(
        series(
            "Requests by protocol",
            "Predictions that were answered.",
            Query(
                f"sum by (model, protocol) (rate(fairmind_request_duration_seconds_count{_RATE}))",
                "{{model}} {{protocol}}",
            ),
            unit="reqps",
        )
    )
    return made
