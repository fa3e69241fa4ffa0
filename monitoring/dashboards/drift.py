"""Drift: how far what is asked is from what was learned from."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards.panels import Query, board, series, stat, table

_OF: Final = '{model=~"$model"}'
_FEATURES: Final = '{model=~"$model",feature!=""}'
"""Of one feature each: without a name it is the largest of all."""


def drift() -> Dashboard:
    """Return the dashboard."""
    made = board("drift", "FairMind: drift", "Features and predictions beside those of the training data.")
    made.with_panel(
        stat(
            "Features that drifted",
            "With a population stability index above 0.2.",
            Query('count(max by (model, feature) (fairmind_drift_score_ratio{feature!=""}) > 0.2) or vector(0)'),
            span=6,
            limit=1,
        )
    )
    made.with_panel(
        stat(
            "Largest drift",
            "The population stability index of the feature that differs most: above 0.1 some, above 0.2 much.",
            Query("max(fairmind_drift_score_ratio)"),
            span=6,
            limit=0.2,
        )
    )
    made.with_panel(
        table(
            "Now",
            "Each feature's population stability index.",
            Query(f"sort_desc(max by (model, feature) (fairmind_drift_score_ratio{_FEATURES}))"),
        )
    )
    made.with_panel(
        table(
            "Verdicts",
            "1 beside the verdict that holds for a champion's last window.",
            Query(f"max by (model, verdict) (fairmind_drift_verdict{_OF})"),
            span=24,
        )
    )
    made.with_panel(
        series(
            "Drift by feature",
            "The ten features that differ most.",
            Query(
                f"topk(10, max by (model, feature) (fairmind_drift_score_ratio{_FEATURES}))",
                "{{model}} {{feature}}",
            ),
            span=24,
            limit=0.2,
        )
    )
    made.with_panel(
        series(
            "Performance without outcomes",
            "What calibrated scores let expect of the champion, before it is known what came true.",
            Query(f"max by (model, metric) (fairmind_estimated_performance_ratio{_OF})", "{{model}} {{metric}}"),
            unit="percentunit",
            span=24,
        )
    )
    made.with_panel(
        series(
            "Requests that do not fit",
            "Share of a model's requests that its signature refused, by what was wrong.",
            Query(
                f"sum by (model, code) (rate(fairmind_signature_mismatches_total{_OF}[$__rate_interval])) "
                f"/ on (model) group_left () sum by (model) (rate(fairmind_requests_total{_OF}[$__rate_interval]))",
                "{{model}} {{code}}",
            ),
            unit="percentunit",
            span=24,
        )
    )
    return made
