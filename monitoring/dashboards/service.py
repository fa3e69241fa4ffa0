"""The service as a whole: is it there, is it quick, has it room."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards.panels import Query, board, row, series, stat

_ERRORS: Final = 'code=~"500|502|503|504|INTERNAL|UNAVAILABLE|DEADLINE_EXCEEDED|UNKNOWN"'
_RATE: Final = "[$__rate_interval]"


def service() -> Dashboard:
    """Return the dashboard."""
    made = board("service", "FairMind: service", "Traffic, errors, latency, room, the prediction log.")
    _overview(made)
    _traffic(made)
    _room(made)
    _remotes(made)
    _log(made)
    return made


def _overview(made: Dashboard) -> None:
    made.with_panel(stat("Targets up", "Deployments whose /metrics answers.", Query('sum(up{job="fairmind"})')))
    made.with_panel(
        stat(
            "Requests", "Answers of every kind.", Query(f"sum(rate(fairmind_requests_total{_RATE}))"), unit="reqps"
        )
    )
    made.with_panel(
        stat(
            "Errors",
            "Share of requests answered with an error of ours.",
            Query(
                f"(sum(rate(fairmind_requests_total{{{_ERRORS}}}{_RATE})) or vector(0)) "
                f"/ sum(rate(fairmind_requests_total{_RATE}))"
            ),
            unit="percentunit",
            limit=0.02,
        )
    )
    made.with_panel(
        stat(
            "Slower than 0.1 s",
            "Share of predictions that miss the objective, of which 1 % may.",
            Query(
                f'1 - sum(rate(fairmind_request_duration_seconds_bucket{{le="0.1"}}{_RATE})) '
                f"/ sum(rate(fairmind_request_duration_seconds_count{_RATE}))"
            ),
            unit="percentunit",
            limit=0.01,
        )
    )
    made.with_panel(
        stat(
            "Registry",
            "1 where the model registry answers.",
            Query("min(fairmind_registry_up)"),
            unit="bool_on_off",
        )
    )
    made.with_panel(
        stat(
            "Failing loops",
            "Things the Companion does over and over that do not succeed.",
            Query("sum(fairmind_companion_problems)"),
            limit=1,
        )
    )


def _traffic(made: Dashboard) -> None:
    made.with_row(row("Traffic"))
    made.with_panel(
        series(
            "Requests by protocol",
            "Answers per second.",
            Query(f"sum by (protocol) (rate(fairmind_requests_total{_RATE}))", "{{protocol}}"),
            unit="reqps",
        )
    )
    made.with_panel(
        series(
            "Requests by code",
            "HTTP statuses and gRPC codes.",
            Query(f"sum by (code) (rate(fairmind_requests_total{_RATE}))", "{{code}}"),
            unit="reqps",
        )
    )
    quantiles = [
        Query(
            f"histogram_quantile({quantile}, sum by (le) "
            f'(rate(fairmind_request_duration_seconds_bucket{{model=~"$model"}}{_RATE})))',
            f"p{quantile * 100:g}",
        )
        for quantile in (0.5, 0.95, 0.99)
    ]
    made.with_panel(
        series("Latency", "From the first byte read to the answer handed over.", *quantiles, unit="s", limit=0.1)
    )
    made.with_panel(
        series(
            "Requests that do not fit",
            "By what was wrong with the first row that a model's signature refused.",
            Query(
                f'sum by (model, code) (rate(fairmind_signature_mismatches_total{{model=~"$model"}}{_RATE}))',
                "{{model}} {{code}}",
            ),
            unit="reqps",
        )
    )


def _room(made: Dashboard) -> None:
    made.with_row(row("Room"))
    made.with_panel(
        series(
            "Requests under way",
            "Beside the most that all workers answer at a time; one more gets 503.",
            Query("sum by (instance) (fairmind_requests_in_flight)", "{{instance}} under way"),
            Query("sum by (instance) (fairmind_requests_in_flight_limit)", "{{instance}} at most"),
        )
    )
    made.with_panel(
        series(
            "Rows that wait",
            "For a model call.",
            Query('sum by (model) (fairmind_queue_depth{model=~"$model"})', "{{model}}"),
        )
    )
    made.with_panel(
        series(
            "Wait for a model call",
            "The 95th percentile of the longest wait in a batch.",
            Query(
                "histogram_quantile(0.95, sum by (model, le) "
                f'(rate(fairmind_queue_wait_seconds_bucket{{model=~"$model"}}{_RATE})))',
                "{{model}}",
            ),
            unit="s",
            limit=0.1,
        )
    )
    made.with_panel(
        series(
            "Rows of a model call",
            "On average: requests that are under way together are answered by one call.",
            Query(
                f'sum by (model) (rate(fairmind_batch_rows_sum{{model=~"$model"}}{_RATE})) '
                f'/ sum by (model) (rate(fairmind_batch_rows_count{{model=~"$model"}}{_RATE}))',
                "{{model}}",
            ),
        )
    )


def _remotes(made: Dashboard) -> None:
    made.with_row(row("Remote versions"))
    made.with_panel(
        series(
            "Calls of remote servers",
            "By what became of them; of those that rested none was made.",
            Query(
                f'sum by (model, outcome) (rate(fairmind_remote_calls_total{{model=~"$model"}}{_RATE}))'
                " or vector(0)",
                "{{model}} {{outcome}}",
            ),
            unit="reqps",
        )
    )
    made.with_panel(
        series(
            "Remote latency",
            "What one call in twenty takes longer than.",
            Query(
                "histogram_quantile(0.95, sum by (model, le) "
                f'(rate(fairmind_remote_call_duration_seconds_bucket{{model=~"$model"}}{_RATE}))) or vector(0)',
                "{{model}} p95",
            ),
            unit="s",
        )
    )
    made.with_panel(
        series(
            "Remote servers that are not as registered",
            "Servers that are not ready or report another version, and workers that leave one alone for a while.",
            Query('sum by (model) (1 - fairmind_remote_up{model=~"$model"}) or vector(0)', "{{model}} not ready"),
            Query('sum by (model) (fairmind_remote_changed{model=~"$model"}) or vector(0)', "{{model}} changed"),
            Query(
                'sum by (model) (fairmind_remote_breakers_open{model=~"$model"}) or vector(0)',
                "{{model}} left alone",
            ),
        )
    )


def _log(made: Dashboard) -> None:
    made.with_row(row("Prediction log"))
    made.with_panel(
        series(
            "Rows",
            "Spooled by workers, written into the database, lost.",
            Query(f"sum by (outcome) (rate(fairmind_prediction_log_rows_total{_RATE}))", "{{outcome}}"),
            unit="rowsps",
            span=8,
        )
    )
    made.with_panel(
        series(
            "Behind",
            "Age of the oldest prediction that is not in the database.",
            Query("max by (instance) (fairmind_prediction_log_lag_seconds)", "{{instance}}"),
            unit="s",
            span=8,
            limit=60,
        )
    )
    made.with_panel(
        series(
            "Spool",
            "How full the local log is.",
            Query(
                "fairmind_prediction_log_spool_bytes / fairmind_prediction_log_spool_limit_bytes", "{{instance}}"
            ),
            unit="percentunit",
            span=8,
            limit=0.8,
        )
    )
    made.with_panel(
        series(
            "Waiting",
            "Predictions that are not in the database yet.",
            Query("sum by (instance) (fairmind_prediction_log_unshipped_rows)", "{{instance}}"),
        )
    )
    made.with_panel(
        series(
            "Test results",
            "For MLflow or Weights & Biases: those that wait, and what became of others within an hour.",
            Query("sum by (instance) (fairmind_tracking_waiting)", "{{instance}} waiting"),
            Query("sum by (outcome) (increase(fairmind_tracking_results_total[1h])) or vector(0)", "{{outcome}}"),
        )
    )
