"""From a prepared model version's folder to a model that answers from a process of its own."""

from __future__ import annotations

from pathlib import Path

from inference.decision import Decision
from inference.errors import RuntimeLoadError
from inference.loading import DECISION_FILE, SIGNATURE_FILE, read_part
from inference.served_model import ServedModel
from inference.signature import Signature
from runners.policy import RunnerPolicy
from runners.process import RunnerProcess
from runners.runtime import RunnerRuntime
from runners.specification import SPECIFICATION_FILE, RunnerSpecification


def is_runner(folder: Path) -> bool:
    """Return whether the version in `folder` answers from a process of its own."""
    return (folder / "fairmind" / SPECIFICATION_FILE).is_file()


def load_runner(folder: Path, policy: RunnerPolicy | None = None) -> ServedModel:
    """Return the model prepared in `folder/fairmind`, its process started and its model loaded.

    Raises:
        RuntimeLoadError: A file is missing, damaged, or does not fit the others.
        RunnerStartError: The process did not start, or did not load the model.
    """
    prepared = folder / "fairmind"
    signature = read_part(prepared / SIGNATURE_FILE, Signature)
    decision = read_part(prepared / DECISION_FILE, Decision)
    specification = read_part(prepared / SPECIFICATION_FILE, RunnerSpecification)
    try:
        decision.check(signature)
    except ValueError as error:
        raise RuntimeLoadError(str(prepared), f"its parts do not fit together ({error})") from error
    process = RunnerProcess(specification, policy)
    try:
        process.start()
    except BaseException:
        process.close()
        raise
    return ServedModel(signature, decision, RunnerRuntime(process, signature))
