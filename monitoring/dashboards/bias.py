"""The live bias test: rates by group, metrics with their verdicts."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards.panels import Query, board, series, stat, table

_OF: Final = '{model=~"$model"}'


def bias() -> Dashboard:
    """Return the dashboard."""
    made = board(
        "bias", "FairMind: bias", "The live bias test of each variant; docs/fairness.md explains its words."
    )
    made.with_panel(
        stat(
            "Verdicts that fail",
            "Attributes by whose groups a variant's rates differ by more than the limit, with enough evidence.",
            Query('sum(fairmind_bias_verdict{verdict="fail"}) or vector(0)'),
            span=6,
            limit=1,
        )
    )
    made.with_panel(
        stat(
            "Not enough evidence",
            "Attributes of which too little is known for a verdict.",
            Query('sum(fairmind_bias_verdict{verdict="insufficient_evidence"}) or vector(0)'),
            span=6,
        )
    )
    made.with_panel(
        table(
            "Verdicts",
            "1 beside the verdict that holds.",
            Query(f"max by (model, variant, attribute, verdict) (fairmind_bias_verdict{_OF}) == 1"),
        )
    )
    made.with_panel(
        series(
            "Selection rate by group",
            "The share of a group that gets the favourable answer; groups of few people are left out.",
            Query(
                f"max by (model, variant, attribute, group) (fairmind_selection_rate_ratio{_OF})",
                "{{model}} {{variant}} {{attribute}}={{group}}",
            ),
            unit="percentunit",
            span=24,
        )
    )
    made.with_panel(
        series(
            "Disparities",
            "Fairlearn's names: of differences 0 is equal, of ratios 1.",
            Query(
                f"max by (model, variant, attribute, metric) (fairmind_bias_metric_ratio{_OF})",
                "{{model}} {{variant}} {{attribute}} {{metric}}",
            ),
            span=24,
        )
    )
    return made
