"""What the dashboards are put together from: one look for all panels, and where their data come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders.common import VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.table import Panel as TablePanel
from grafana_foundation_sdk.builders.timeseries import Panel as TimeseriesPanel
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, SortOrder, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG: Final = "fairmind"


@dataclass(frozen=True, slots=True)
class Query:
    """What a panel asks Prometheus, and what its series are called: `{{label}}` is the label's value."""

    expr: str
    legend: str = "__auto"


def board(uid: str, title: str, told: str) -> Dashboard:
    """Return an empty dashboard with the variables `datasource` and `model`, linked with the others."""
    model = (
        QueryVariable("model")
        .label("Model")
        .datasource(SOURCE)
        .query("label_values(fairmind_model_info, model)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )
    others = (
        DashboardLink("FairMind").type(DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True).keep_time(True)
    )
    return (
        Dashboard(title)
        .uid(f"fairmind-{uid}")
        .description(told)
        .tags([TAG])
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(others)
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(model)
    )


def row(title: str) -> Row:
    """Return the head of a group of panels."""
    return Row(title)


def series(
    title: str, told: str, *queries: Query, unit: str = "short", span: int = 12, limit: float | None = None
) -> TimeseriesPanel:
    """Return values over time; from `limit` on they are red."""
    panel = (
        TimeseriesPanel()
        .title(title)
        .description(told)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .height(8)
        .span(span)
        .fill_opacity(8)
        .legend(
            VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if limit is not None:
        panel.thresholds(_red_from(limit))
    for letter, query in _lettered(queries):
        panel.with_target(_target(letter, query).range())
    return panel


def stat(
    title: str, told: str, query: Query, *, unit: str = "short", span: int = 4, limit: float | None = None
) -> StatPanel:
    """Return the newest value as a number; from `limit` on it is red."""
    panel = (
        StatPanel().title(title).description(told).datasource(SOURCE).unit(unit).height(4).span(span)
    ).with_target(_target("A", query).range())
    if limit is not None:
        panel.thresholds(_red_from(limit))
    return panel


def table(title: str, told: str, query: Query, *, span: int = 12, unit: str = "short") -> TablePanel:
    """Return the newest samples with a column for each label."""
    return (
        TablePanel()
        .title(title)
        .description(told)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(span)
        .with_target(_target("A", query).instant().format(PromQueryFormat.TABLE))
        .with_transformation(
            DataTransformerConfig(
                id_val="organize", options={"excludeByName": {"Time": True, "__name__": True, "job": True}}
            )
        )
    )


def _target(letter: str, query: Query) -> Dataquery:
    return Dataquery().ref_id(letter).expr(query.expr).legend_format(query.legend).datasource(SOURCE)


def _lettered(queries: tuple[Query, ...]) -> list[tuple[str, Query]]:
    return list(zip("ABCDEFGH", queries, strict=False))


def _red_from(limit: float) -> ThresholdsConfig:
    steps = [Threshold(value=None, color="green"), Threshold(value=limit, color="red")]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
