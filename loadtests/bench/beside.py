"""Something that is done again and again beside what is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import httpx

_TIMEOUT_SECONDS: Final = 60.0


class Beside:
    """Takes a step over and over, from a thread, while the body runs.

    A step that is refused, or whose answer lacks a field, is kept in `problems`, and the next one is taken all the
    same.

    Args:
        step: What is done, with a client of the thread's own.
        seconds: The pause before each step.
    """

    def __init__(self, step: Callable[[httpx.Client], None], seconds: float = 0.0) -> None:
        self.done = 0
        self.problems: list[str] = []
        self._step, self._seconds = step, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Beside:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, after the step that is under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
            while not self._stop.wait(self._seconds):
                try:
                    self._step(client)
                except (httpx.HTTPError, KeyError) as error:
                    self.problems.append(str(error))
                else:
                    self.done += 1
