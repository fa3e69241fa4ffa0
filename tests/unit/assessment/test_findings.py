"""What is found beside the disparities, as people see it: whole, escaped, and undefined where it is undefined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assessment.findings import comparisons, span, tables
from assessment.flips import FlipReport
from assessment.model_card import model_card
from assessment.proxies import proxy_report
from assessment.render import text
from assessment.report_html import html
from assessment.result import BiasTestResult
from fairness.aggregates import Aggregate
from fairness.flips import flips
from fairness.groups import Groups
from tests.unit.assessment.conftest import made_result

HOSTILE = "<b>|x"


def flipped(attribute: str) -> FlipReport:
    groups = Groups(np.array([0, 0, 1, 1]), ("f", "m"))
    found = flips(groups, [0, 0, 1, 1], [1, 0, 1, 1], 1)
    return FlipReport(attribute=attribute, one="f", other="m", rows=4, groups=found)


def with_all(**more: Any) -> BiasTestResult:
    sex = ["f", "m"] * 60
    proxies = (
        proxy_report("SEX", sex, {HOSTILE: sex, "long": [[row] for row in sex]}),
        proxy_report("RACE", ["1"] * 120, {"x": sex}),
    )
    unread = FlipReport(attribute="RACE", one=1, other=2, rows=0, reason="the model has no feature of this name")
    return made_result(**more).model_copy(update={"flips": (flipped(HOSTILE), unread), "proxies": proxies})


def test_every_table_has_as_many_cells_as_columns() -> None:
    result = with_all(rates=(0.5, 0.4))
    shown = [*tables(result), *(found for found in map(comparisons, result.attributes) if found is not None)]
    assert [table.title for table in shown] == [
        "Decisions with nothing but the attribute changed",
        "What the features tell of the attribute",
        "Between persons rather than groups",
        "Tests corrected for together",
        "Each group beside 'a'",
    ]
    for table in shown:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_flips_are_counted_by_group_and_what_cannot_flip_says_why() -> None:
    changed, *_ = tables(with_all())
    assert changed.rows[0][1:6] == ("f", "2", "0.500 (0.095 to 0.905)", "1", "0")
    assert changed.rows[-1][:4] == ("RACE: 1 and 2", "", "0", "the model has no feature of this name")


def test_proxies_that_are_undefined_are_shown_with_the_reason() -> None:
    _, found, *_ = tables(with_all())
    assert found.rows[0] == ("SEX", HOSTILE, "1.000", "1.000", "")
    assert found.rows[1][2:4] == ("undefined", "undefined")
    assert "names the right group of 100.0% of rows" in found.notes[0]
    assert (
        found.notes[1] == "RACE: what all features tell together is undefined: fewer than two groups have 30 rows"
    )


def test_a_result_without_any_of_it_has_no_tables() -> None:
    bare = made_result().model_copy(update={"families": (), "individual": {}})
    assert list(tables(bare)) == []
    alone = made_result(rates=(0.5,), groups=("a",))
    assert comparisons(alone.attributes[0]) is None


def test_an_index_that_is_undefined_says_why() -> None:
    nothing = {"theil_index": Aggregate(None, reason="no outcomes are known")}
    (index, _) = tables(made_result().model_copy(update={"individual": nothing}))
    assert index.rows == (("theil index", "undefined", "no outcomes are known"),)


@pytest.mark.parametrize(
    ("lower", "upper", "told"), [(None, None, ""), (0.5, None, "0.500 or more"), (-0.1, 0.25, "-0.100 to 0.250")]
)
def test_an_interval_in_words(lower: float | None, upper: float | None, told: str) -> None:
    assert span(lower, upper) == told


def test_page_card_and_terminal_show_it_with_names_escaped() -> None:
    result = with_all(rates=(0.5, 0.4))
    page, card, plain = html(result), model_card(result), text(result)
    for table in tables(result):
        assert table.title in page
        assert f"### {table.title}" in card
        assert table.title in plain
    assert HOSTILE not in page
    assert "&lt;b&gt;|x" in page
    assert r"\<b\>\|x" in card
    assert "#### Each group beside 'a'" in card
    assert "Each group beside &#39;a&#39;" in page
    assert "seldom beyond" in page
