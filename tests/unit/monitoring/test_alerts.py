"""Alerts and dashboards: each alert has its section and its two cases, and all ask for metrics that there are."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from monitoring.dashboards.build import DASHBOARDS, built
from monitoring.exposition import StateMetrics
from monitoring.metrics import DEFINITIONS, Kind
from tests.observability import MONITORING, ROOT, quickened

RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
NAME = re.compile(r"fairmind_[a-z_]+")


def exposed() -> dict[str, tuple[str, ...]]:
    """Return the labels of every metric that is there, by its name as a query has it."""
    names: dict[str, tuple[str, ...]] = {gauge.name: gauge.label_names for gauge in StateMetrics().registry.gauges}
    for name, definition in DEFINITIONS.items():
        endings = {Kind.COUNTER: ["_total"], Kind.GAUGE: [""], Kind.HISTOGRAM: ["_bucket", "_count", "_sum"]}
        names |= {name + ending: definition.labels for ending in endings[definition.kind]}
    return names


def expressions() -> list[str]:
    """Return every query of a rule or a panel."""
    asked = [rule["expr"] for rule in RULES.values()]
    for make in DASHBOARDS:
        asked += [target["expr"] for panel in built(make)["panels"] for target in panel.get("targets", [])]
    return asked


def test_every_alert_has_a_section_in_the_runbook_and_every_section_an_alert() -> None:
    assert re.findall(r"^## (.+)$", RUNBOOK, flags=re.MULTILINE) == list(RULES)


@pytest.mark.parametrize(
    "section", re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:], ids=lambda text: text.split()[0]
)
def test_a_section_says_what_it_means_what_to_look_at_and_what_to_do(section: str) -> None:
    assert re.findall(r"^\*\*(.+?):\*\*", section, flags=re.MULTILINE) == ["Means", "Look at", "Do"]


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_says_how_grave_it_is_and_where_to_read_on(alert: str) -> None:
    rule = RULES[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{alert.lower()}"


def test_every_alert_is_tested_where_it_fires_and_where_it_is_silent() -> None:
    cases = yaml.safe_load((MONITORING / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    fires, silent = set(), set()
    for case in cases:
        (test,) = case["alert_rule_test"]
        assert case["name"].startswith(test["alertname"])
        (fires if test["exp_alerts"] else silent).add(test["alertname"])
    assert fires == silent == set(RULES)


def test_rules_and_dashboards_ask_only_for_metrics_that_are_exposed() -> None:
    asked = {name for expr in expressions() for name in NAME.findall(expr)}
    assert asked - {*exposed()} == set()


def test_every_metric_is_on_a_dashboard() -> None:
    asked = {name for expr in expressions() for name in NAME.findall(expr)}
    bare = {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed()} - bare == set()


def test_no_two_panels_of_a_dashboard_stand_in_the_same_place() -> None:
    for make in DASHBOARDS:
        dashboard = built(make)
        places = [
            (x, y)
            for panel in dashboard["panels"]
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(places) == len(set(places)), dashboard["title"]
        assert max(x for x, _ in places) < 24


def test_the_dashboards_in_the_repository_are_those_that_are_built() -> None:
    for make in DASHBOARDS:
        path = MONITORING / "grafana" / "dashboards" / f"{make.__name__}.json"
        assert json.loads(path.read_text(encoding="utf-8")) == built(make), "stale: make generate"


@given(st.integers(1, 1000), st.sampled_from("smhd"))
def test_quickened_rules_keep_everything_but_their_durations(number: int, unit: str) -> None:
    rule = f"expr: rate(x_total[{number}{unit}]) > 0.{number}\nfor: {number}{unit}\n"
    seconds = max(1, number * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit] // 60)
    assert quickened(rule) == f"expr: rate(x_total[{seconds}s]) > 0.{number}\nfor: {seconds}s\n"
