"""How often something may happen: a token bucket."""

from __future__ import annotations


class Bucket:
    """Allows so many events per second, and at once as many as one second brings, which is never less than one.

    Args:
        per_second: The rate; more than 0.
        now: The time in seconds, of whatever clock the others are of. The bucket begins full.
    """

    __slots__ = ("_at", "_left", "_most", "per_second")

    def __init__(self, per_second: float, now: float) -> None:
        self.per_second = per_second
        self._most = max(1.0, per_second)
        self._left, self._at = self._most, now

    def take(self, now: float) -> float:
        """Return 0 where one more may happen now, which is then counted, else the seconds until it may.

        >>> bucket = Bucket(2.0, now=0.0)
        >>> [bucket.take(0.0), bucket.take(0.0), bucket.take(0.0), bucket.take(0.5)]
        [0.0, 0.0, 0.5, 0.0]
        """
        if now > self._at:
            left = min(self._most, self._left + (now - self._at) * self.per_second)
            self._at = now
        else:
            left = self._left
        if left >= 1.0:
            self._left = left - 1.0
            return 0.0
        self._left = left
        return (1.0 - left) / self.per_second
