import pytest

from loadtests.bench.tally import Tally, percentile


@pytest.mark.parametrize(("share", "expected"), [(0.5, 51), (0.95, 96), (0.99, 100), (1.0, 100)])
def test_a_percentile_is_the_value_below_which_that_share_lies(share: float, expected: int) -> None:
    assert percentile(range(1, 101), share) == expected


def test_nothing_has_no_percentile_and_says_zero() -> None:
    assert percentile([], 0.5) == 0.0


def test_served_and_refused_have_latencies_of_their_own() -> None:
    tally = Tally()
    for seconds in (0.3, 0.1, 0.2):
        tally.note(200, seconds)
    tally.note(503, 0.001)
    tally.lost = 2
    summary = tally.summary(1.0, unanswered=4)
    assert summary["requests"] == 4
    assert summary["failures"] == 1 + 2 + 4
    assert (summary["by_status"]["200"]["p50"], summary["by_status"]["503"]["largest"]) == (0.2, 0.001)
