"""Runner errors.

RunnerError
├── RunnerTimeoutError        the model did not answer in time; its process was ended
├── RunnerCrashedError        the process ended, or ran out of memory, while it ran these rows
├── ModelRefusedRowsError     the model raised ValueError or TypeError on these rows
├── ModelRaisedError          the model raised anything else on these rows
├── RunnerAnswerError         the model's answer does not fit the rows or the signature, or is too large
├── RunnerStartError          the process did not start, or did not load the model
├── MlModelError              the files are no MLflow model that can be served
├── AdoptionError             a version cannot be adopted or verified by hand
├── UntrustedModelError       the version brings code, and its registry is not trusted
└── RunnerEnvironmentError    no environment with the model's libraries could be made
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.errors import InferenceError, ModelTimeoutError, RowsRefusedError


class RunnerError(InferenceError):
    """Base of everything this package raises on purpose."""


class RunnerTimeoutError(ModelTimeoutError, RunnerError):
    """The model did not answer in time; its process was ended and starts again with the next call."""


class RunnerCrashedError(RunnerError):
    """The process ended, or ran out of memory, while it ran these rows; `how` says which."""

    def __init__(self, how: str) -> None:
        self.how = how
        super().__init__(f"the model's process {how} on these rows; it starts again with the next call")


class ModelRefusedRowsError(RowsRefusedError, RunnerError):
    """The model raised ValueError or TypeError on these rows.

    `reason` is the first line of what the model said. It may quote the rows: it is for the client who sent them and
    in no log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("", reason)
        self.args = (f"the model refuses these rows: {reason}",)


class ModelRaisedError(RunnerError):
    """The model raised something that does not speak of the rows; `kind` is the exception's class.

    What it said may quote the rows and is left out.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"the model raised {kind} on these rows")


class RunnerAnswerError(RunnerError):
    """The model's answer does not fit the rows or the signature, or is too large."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the model's answer cannot be used: {reason}")


class RunnerStartError(RunnerError):
    """The process did not start, or did not load the model; it is tried again after a pause."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the model's process did not start: {reason}")


class MlModelError(RunnerError):
    """The files are no MLflow model that can be served; `reason` says why."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder, self.reason = folder, reason
        super().__init__(f"{reason} (the model in {folder.name})")


class AdoptionError(RunnerError):
    """A version cannot be adopted or verified by hand; says why and what to do."""


class UntrustedModelError(RunnerError):
    """The version brings code of its own, and its registry is not trusted; `held` is what it brings."""

    def __init__(self, held: Sequence[str], address: str) -> None:
        self.held, self.address = tuple(held), address
        super().__init__(
            f"it holds {', '.join(held)}, and the registry {address} is not trusted to run code; "
            f"if it is yours, set FAIRMIND_REGISTRY_TRUSTED={address}"
        )


class RunnerEnvironmentError(RunnerError):
    """No environment with the model's libraries could be made; says what stands in the way and the remedy."""
