import threading

import httpx

from loadtests.bench.beside import Beside


def test_steps_are_taken_until_the_body_ends_and_none_after_it() -> None:
    thrice = threading.Event()
    taken: list[int] = []

    def step(_client: httpx.Client) -> None:
        taken.append(len(taken))
        if len(taken) == 3:
            thrice.set()

    with Beside(step) as beside:
        assert thrice.wait(10.0)
    assert beside.done == len(taken) >= 3
    assert beside.problems == []


def test_what_went_wrong_is_kept_and_the_next_step_is_taken() -> None:
    went_on = threading.Event()
    troubles = [httpx.ConnectError("refused"), KeyError("id")]

    def step(_client: httpx.Client) -> None:
        if troubles:
            raise troubles.pop(0)
        went_on.set()

    with Beside(step) as beside:
        assert went_on.wait(10.0)
    assert beside.problems == ["refused", "'id'"]
    assert beside.done >= 1


def test_there_is_a_pause_before_the_first_step() -> None:
    with Beside(lambda _client: None, seconds=60.0) as beside:
        pass
    assert beside.done == 0
