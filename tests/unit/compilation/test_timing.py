"""What a call costs: all take turns, slow ones fewer of them."""

from __future__ import annotations

import time

from compilation.timing import interleaved, one_thread


def test_calls_take_turns_and_slow_ones_fewer() -> None:
    made: list[str] = []

    def slow() -> None:
        made.append("slow")
        time.sleep(0.05)

    costs = interleaved({"quick": lambda: made.append("quick"), "slow": slow}, repeats=30)
    assert costs["slow"] > 50_000 > costs["quick"]
    assert made.count("slow") == 1 + 3
    assert made.count("quick") == 1 + 30 + 5  # the first, those counted, and one uncounted before each turn
    assert made.index("slow", 2) < len(made) - 10, "the slow one is not left to the end"


def test_numeric_libraries_are_held_to_one_thread() -> None:
    import numpy as np
    from threadpoolctl import threadpool_info, threadpool_limits

    np.eye(2) @ np.eye(2)
    with threadpool_limits(2):
        assert {pool["num_threads"] for pool in threadpool_info()} == {2}
        with one_thread():
            assert {pool["num_threads"] for pool in threadpool_info()} == {1}
