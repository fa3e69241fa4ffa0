"""Replay errors.

ReplayError
├── NothingLoggedError       no features of the window are in the log
├── ColumnsMissingError      the version needs a column that no logged row has
├── NotCompiledError         the version runs in a process of its own, which a replay does not ask
├── NotComparableError       the versions answer other labels, or no labels at all, or are one and the same
├── ReplayQueueFullError     as many replays wait as may; safe to retry
├── ReplayNotFoundError      no replay of this id is kept
└── NoReplayReportError      the replay is not done: there is nothing to show
"""

from __future__ import annotations


class ReplayError(Exception):
    """Base of everything this package raises on purpose."""


class NothingLoggedError(ReplayError):
    """No features of the window are in the log."""

    def __init__(self, model: str, logged: int) -> None:
        self.model, self.logged = model, logged
        if logged:
            told = (
                f"'{model}' answered {logged:,} rows in the window and none has features in the log: they are "
                "archived about a minute after the answer, as far as FAIRMIND_MONITORING_FEATURES_SHARE keeps them"
            )
        else:
            told = f"'{model}' answered nothing in the window; take a longer one with --window"
        super().__init__(told)


class ColumnsMissingError(ReplayError):
    """The version needs a column that no logged row has."""

    def __init__(self, version: str, columns: tuple[str, ...]) -> None:
        self.version, self.columns = version, columns
        names = ", ".join(f"'{name}'" for name in columns[:5]) + (", …" if len(columns) > 5 else "")
        super().__init__(
            f"{version} needs {names}, which no logged row of the window has: callers did not send it, or it is "
            "not kept; compare it in a rollout's shadow step once callers do"
        )


class NotCompiledError(ReplayError):
    """The version runs in a process of its own, which a replay does not ask."""

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(
            f"{version} is not compiled, so it cannot score a log of rows in reasonable time; compile it with "
            f"`fairmind models adopt {version}`, or compare it in a rollout's shadow step"
        )


class NotComparableError(ReplayError):
    """The versions answer other labels, or none, or are one and the same; or the log is of other files."""


class ReplayQueueFullError(ReplayError):
    """As many replays wait as may; safe to retry."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"{limit} replays wait or run already; ask again when one of them is done")


class ReplayNotFoundError(ReplayError):
    """No replay of this id is kept."""

    def __init__(self, replay_id: str) -> None:
        self.replay_id = replay_id
        super().__init__(f"there is no replay '{replay_id}'; `fairmind replays list` shows those there are")


class NoReplayReportError(ReplayError):
    """The replay is not done: there is nothing to show."""

    def __init__(self, replay_id: str, why: str) -> None:
        self.replay_id = replay_id
        super().__init__(f"replay '{replay_id}' has no report: {why}")
