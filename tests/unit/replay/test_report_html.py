"""The page of a replay: what was found, nothing of small groups, and no text of the data as markup."""

from __future__ import annotations

from replay.report_html import html
from replay.result import ReplayResult
from tests.unit.replay.replay_home import ReplayHome, Threshold, answered, contender

HOSTILE = "<script>alert(1)</script>"


def replayed(home: ReplayHome) -> ReplayResult:
    incomes = [place / 120 for place in range(120)]
    groups = [HOSTILE] * 60 + ["m"] * 50 + ["few"] * 10
    home.serve(answered("r", incomes, protected=[{"sex": group} for group in groups]))
    return home.replay(contender("2", Threshold(0.95)))


def test_a_page_has_verdicts_changes_and_rates_and_escapes_what_came_with_data(home: ReplayHome) -> None:
    found = replayed(home)
    page = html(found)
    for text in ("Replay of credit, version 2", "selection_rate", "0.500 → 0.050", "Rows compared"):
        assert text in page
    assert HOSTILE not in page
    assert "nurse" not in page


def test_groups_of_a_few_are_shown_without_their_numbers(home: ReplayHome) -> None:
    page = html(replayed(home))
    (row, *_) = [line for line in page.splitlines() if "sex = few" in line]
    assert "fewer than 20" in row
    assert "not shown" in row


def test_rates_of_a_few_outcomes_are_not_shown(home: ReplayHome) -> None:
    home.serve(answered("r", [place / 120 for place in range(120)]))
    home.tell({f"r-{place}": 1 for place in range(10)})
    page = html(home.replay(contender("2", Threshold(0.95))))
    (row, *_) = [line for line in page.splitlines() if "<td>all</td>" in line and "→" in line]
    assert row.count("not shown") == 3
    assert "fewer than 20" in row


def test_a_result_is_the_same_once_it_was_stored(home: ReplayHome) -> None:
    found = replayed(home)
    assert ReplayResult.model_validate_json(found.model_dump_json()) == found
