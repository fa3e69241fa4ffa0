"""What a load generator counts: answers by status with their latencies, what was lost, what never came."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

OK = 200


class Tally:
    """Answers so far; latencies in seconds, by status, in the order they came."""

    def __init__(self) -> None:
        self.seconds: dict[int, array[float]] = defaultdict(lambda: array("d"))
        self.lost = 0

    def note(self, status: int, seconds: float) -> None:
        """Note one answer."""
        self.seconds[status].append(seconds)

    def summary(self, elapsed: float, unanswered: int = 0) -> dict[str, Any]:
        """Return everything as JSON has it; `unanswered` requests are failures, as lost ones are.

        `p50`, `p95` and `p99` are of all answers, `by_status` has those of each status apart.
        """
        answers = sorted(second for seconds in self.seconds.values() for second in seconds)
        good = len(self.seconds.get(OK, ()))
        return {
            "requests": len(answers),
            "failures": self.lost + unanswered + len(answers) - good,
            "lost": self.lost,
            "unanswered": unanswered,
            "statuses": {str(status): len(seconds) for status, seconds in sorted(self.seconds.items())},
            "seconds": elapsed,
            **percentiles(answers),
            "by_status": {
                str(status): percentiles(sorted(seconds)) for status, seconds in sorted(self.seconds.items())
            },
        }


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the ordered values lie; 0 when there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def percentiles(ordered: Sequence[float]) -> dict[str, float]:
    """Return the median, p95, p99 and the largest of ordered values."""
    named = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "largest": 1.0}
    return {name: percentile(ordered, share) for name, share in named.items()}
