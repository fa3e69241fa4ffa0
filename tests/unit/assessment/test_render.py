from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from assessment.bias_test import run
from assessment.render import headline, markdown, printable, text
from assessment.request import BiasTestRequest
from assessment.result import BiasTestResult


def result(groups: tuple[str, str] = ("1", "2"), **more: Any) -> BiasTestResult:
    people = [(group, i % 2) for group in groups for i in range(400)] + [("rare", 1)] * 3
    request = BiasTestRequest.model_validate(
        {
            "model": "credit",
            "version": "7",
            "favourable": 1,
            "instances": [{"protected": {"SEX": group}, "outcome": label} for group, label in people],
            "predictions": [label if group != groups[1] else 0 for group, label in people],
            **more,
        }
    )

    def no_scorer(_: BiasTestRequest) -> Any:
        raise AssertionError

    return run(request, no_scorer, test_id="t", created_at=datetime(2026, 1, 1, tzinfo=UTC))


def test_the_headline_says_what_was_tested_and_the_verdict() -> None:
    assert headline(result()) == "Bias test of credit version 7 on 803 rows, favourable label 1: fail"


def test_the_text_shows_rates_with_intervals_and_who_sets_the_gap() -> None:
    shown = text(result())
    assert "0.500 (0.451 to 0.549)" in shown
    assert "demographic_parity_difference  0.500" in shown
    assert "≤ 0.1  fail" in shown
    assert "1 / 2" in shown
    assert "rare (not compared)" in shown
    assert "undefined" in shown


def test_the_columns_of_the_text_are_aligned() -> None:
    lines = text(result()).splitlines()
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("group"))
    assert lines[start].index("rows") == lines[start + 2].index("400")


def test_a_test_without_tolerances_is_not_judged() -> None:
    assert "not judged" in text(result(policy={"tolerances": []}))


def test_what_does_not_gate_says_so() -> None:
    tolerance = {"metric": "demographic_parity_ratio", "attribute": "SEX", "at_least": 0.8, "gating": False}
    assert "fail (shown only)" in text(result(policy={"tolerances": [tolerance]}))


def test_a_group_name_cannot_steer_the_terminal_or_break_a_table() -> None:
    hostile = ("\x1b[2Ja", "b|c\n<script>")
    shown = result(hostile)
    assert "\x1b" not in text(shown)
    table = markdown(shown)
    assert "\x1b" not in table
    assert "<script>" not in table.replace("\\<", "")
    widths = {line.replace("\\|", "").count("|") for line in table.splitlines() if line.startswith("| ")}
    assert widths == {4, 6, 7, 8}


def test_printable_keeps_ordinary_text() -> None:
    assert printable("Ærø – 東京 ≥ 3") == "Ærø – 東京 ≥ 3"
