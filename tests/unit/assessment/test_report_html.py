"""The report for people: one file, verdicts first, small groups marked, nothing of the data taken for markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from assessment.model_card import model_card
from assessment.report_html import html
from fairness.gate import BiasPolicy
from tests.unit.assessment.conftest import made_result

HOSTILE = "<script>alert(1)</script>"
TEMPLATE = "{{ 7*7 }}"
VOID = {"meta", "line", "rect", "path", "br"}


class Page(HTMLParser):
    """Reads a page and holds that what is opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_is_whole_and_asks_nobody_for_anything() -> None:
    page = html(made_result(rates=(0.8, 0.2)))
    read = Page(page)
    assert {"script", "link", "img", "iframe"}.isdisjoint(tag for tag, _ in read.tags)
    assert {"src", "href", "srcset"}.isdisjoint(name for _, attributes in read.tags for name in attributes)
    assert re.findall(r"https?://|@import", page) == []
    assert "default-src 'none'" in page


def test_what_a_verdict_lacks_has_the_width_of_the_table_under_it() -> None:
    page = html(made_result(rates=(0.55, 0.5), rows=100))
    columns = page.split("<thead>")[1].split("</thead>")[0].count("<th")
    under = re.findall(r'<tr><td></td><td colspan="(\d+)">[^<]*needs about', page)
    assert under
    assert set(map(int, under)) == {columns - 1}


def test_the_verdict_comes_before_the_numbers_and_failures_before_passes() -> None:
    page = html(made_result(rates=(0.55, 0.44)))
    assert page.index("Verdict: <strong>") < page.index("<h2>Verdicts</h2>") < page.index("<svg viewBox")
    marks = re.findall(r"(✗ fail|\? not enough evidence|✓ pass)", page)
    order = ["✗ fail", "? not enough evidence", "✓ pass"]
    assert sorted(marks, key=order.index) == marks
    assert len(set(marks)) > 1


def test_a_small_group_and_the_unknown_one_are_visibly_left_out_of_the_comparison() -> None:
    columns = made_result(rates=(0.5, 0.5), groups=("a", "unknown"))
    page = html(columns)
    assert page.count('class="left-out"') == 3  # one per chart
    assert "unknown (not compared)" in page
    small = html(made_result(rates=(0.5, 0.5), rows=20))
    assert 'class="bar"' in small
    assert small.count('class="left-out"') == 6


def test_what_is_undefined_has_no_bar_and_says_why() -> None:
    page = html(made_result(rates=(1.0, 1.0), rows=1))
    assert "Undefined: a: the group has no actual positives; b: the group has no actual positives." in page
    assert "insufficient evidence" in page


@pytest.mark.parametrize("text", [HOSTILE, '"><svg onload=x>', TEMPLATE, "a\x00\x1b[31m", "\ud83d", "&amp;"])
def test_text_from_the_data_is_never_markup(text: str) -> None:
    result = made_result(rates=(0.5, 0.4), groups=(text, "b"), model=text)
    hostile = result.model_copy(update={"notes": (text,), "favourable": text, "dataset": text, "test_id": text})
    page = html(hostile)
    page.encode("utf-8")
    assert {"script"}.isdisjoint(tag for tag, _ in Page(page).tags)
    assert not any(name.startswith("on") for _, attributes in Page(page).tags for name in attributes)
    assert text != TEMPLATE or page.count(TEMPLATE) > 5
    assert "\x00" not in page
    assert "\x1b" not in page


def test_without_a_policy_nothing_is_judged_and_the_page_says_so() -> None:
    page = html(made_result(policy=BiasPolicy()))
    assert "No tolerance gates here" in page
    assert "Nothing was judged." in page
    assert "Shown, not judged" in page


def test_a_model_card_says_what_was_tested_by_which_policy_and_what_it_does_not_mean() -> None:
    card = model_card(made_result(rates=(0.8, 0.2), groups=("a|b", "<b>")))
    assert card.startswith("## Fairness\n")
    assert "- **Verdict**: fail" in card
    assert "- demographic_parity_ratio on SEX: at least 0.8" in card
    assert "a\\|b" in card
    assert "\\<b\\>" in card
    assert card.rstrip().endswith("not law.")
    assert "none: everything is shown" in model_card(made_result(policy=BiasPolicy()))
