"""When a server that fails is left alone, and when it is tried again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from remotes.breaker import Breaker, Circuit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(failures=2, rest=1.0, longest_rest=4.0, clock=clock)
    for _ in range(2):
        assert breaker.wait() == 0.0
        breaker.failed()
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    breaker = Breaker(failures=2, clock=Clock())
    for _ in range(10):
        breaker.failed()
        breaker.succeeded()
    assert breaker.circuit is Circuit.CLOSED
    breaker.failed()
    breaker.failed()
    assert breaker.circuit is Circuit.OPEN


def test_one_call_tries_when_it_has_rested_and_no_other_meanwhile() -> None:
    clock = Clock()
    breaker = opened(clock)
    assert breaker.wait() == 1.0
    clock.now = 1.0
    assert breaker.wait() == 0.0
    assert breaker.circuit is Circuit.HALF_OPEN
    assert breaker.wait() > 0
    breaker.succeeded()
    assert (breaker.circuit, breaker.wait()) == (Circuit.CLOSED, 0.0)


def test_rests_double_up_to_the_longest_and_begin_anew_after_a_success() -> None:
    clock = Clock()
    breaker, rests = opened(clock), []
    for _ in range(4):
        rests.append(breaker.wait())
        clock.now += rests[-1]
        assert breaker.wait() == 0.0
        breaker.failed()
    assert rests == [1.0, 2.0, 4.0, 4.0]
    clock.now += 4.0
    assert breaker.wait() == 0.0
    breaker.succeeded()
    breaker.failed()
    breaker.failed()
    assert breaker.wait() == 1.0


def test_a_try_that_nobody_waited_for_lets_another_one_try() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 1.0
    assert breaker.wait() == 0.0
    breaker.abandoned()
    assert breaker.wait() == 0.0


def test_a_check_that_finds_the_server_ready_lets_one_try_at_once() -> None:
    breaker = opened(Clock())
    assert breaker.wait() > 0
    breaker.may_try()
    assert breaker.wait() == 0.0
    assert breaker.circuit is Circuit.HALF_OPEN


@given(st.lists(st.sampled_from(["call", "fail", "succeed", "abandon", "wait", "check"]), max_size=60))
def test_whatever_happens_a_server_is_tried_again_within_the_longest_rest(events: list[str]) -> None:
    clock = Clock()
    breaker = Breaker(failures=2, rest=1.0, longest_rest=4.0, clock=clock)
    trying = 0
    for event in events:
        match event:
            case "call":
                trying += breaker.wait() == 0.0
            case "wait":
                clock.now += 1.0
            case "check":
                breaker.may_try()
            case _ if trying:
                trying -= 1
                {"fail": breaker.failed, "succeed": breaker.succeeded, "abandon": breaker.abandoned}[event]()
    if breaker.circuit is Circuit.HALF_OPEN:
        breaker.failed()
    clock.now += 4.0
    assert breaker.wait() == 0.0
