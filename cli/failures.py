"""From errors to exit statuses: 0 done, 1 failed, 2 wrong usage or bad input, 3 a gate said no."""

from __future__ import annotations

from typing import Final

FAILED, BAD_INPUT, REFUSED = 1, 2, 3

_PACKAGES: Final = frozenset(
    {
        "access",
        "assessment",
        "bentos",
        "cli",
        "database",
        "explanation",
        "fairness",
        "inference",
        "monitoring",
        "registry",
        "replay",
        "remotes",
        "rollout",
        "runners",
        "sources",
        "tracking",
        "training",
    }
)
_REFUSALS: Final = frozenset({"GateRefusedError", "ReplayGateError", "RolloutGateError"})
_FAILURES: Final = frozenset(
    {"HashMismatchError", "NotServableError", "SourceUnavailableError", "TrackingError"}
)  # of packages whose other errors are bad input
_BAD_INPUT: Final = frozenset(
    {
        "AdoptionError",
        "AssessmentError",
        "ConfigurationError",
        "DatabaseUrlError",
        "EmptyBatchError",
        "FairnessError",
        "FeatureStoreError",
        "InsecureError",
        "InvalidKeyError",
        "InvalidPlanError",
        "InvalidReferenceError",
        "InvalidRemoteError",
        "RunNotFoundError",
        "KeyNotFoundError",
        "ModelNotFoundError",
        "ReplayError",
        "PredictionNotFoundError",
        "RolloutNotFoundError",
        "SignatureMismatchError",
        "SourceError",
        "TrackingDisabledError",
        "TrainingError",
        "UnknownProviderError",
        "UntrustedModelError",
        "UsageError",
    }
)


class UsageError(Exception):
    """The command was given something it cannot work with."""


def is_ours(error: BaseException) -> bool:
    """Return whether the error was raised on purpose by one of our packages, so that one line says it all."""
    return any(kind.__module__.split(".", 1)[0] in _PACKAGES for kind in type(error).__mro__)


def one_line(error: BaseException) -> str:
    """Return what a person is told of an error: our own words, or the kind of another's and its first line."""
    if is_ours(error):
        return " ".join(line.strip() for line in str(error).splitlines())  # some quote another's, e.g. a YAML error
    said = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
    return f"{what}; run again with --debug for the traceback"


def exit_status(error: BaseException) -> int:
    """Return the exit status of a command that ended with an error; those that are not ours are failures."""
    if not is_ours(error):
        return FAILED
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _REFUSALS:
        return REFUSED
    if names & _FAILURES:
        return FAILED
    return BAD_INPUT if names & _BAD_INPUT else FAILED
