"""The process that talks to one provider: `python -m tracking.sending`, started and ended by `tracking.sender`.

It reads one JSON document per line: first whom to send to, then what to do. It writes one per line. It ends when
nobody holds its standard input any more, even in the middle of a call that hangs. It is the only place where the
providers' libraries are imported for this; whatever they print goes nowhere.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Never, Protocol

import orjson
from pydantic import ValidationError

from tracking.descendants import kill_descendants
from tracking.errors import ProviderUnavailableError, RecordRefusedError, RunNotFoundError
from tracking.outbox import Receipt
from tracking.record import BiasTestRecord
from tracking.run_content import RunContent, run_content


class Runs(Protocol):
    """A provider's runs."""

    def deliver(self, content: RunContent) -> Receipt:
        """Log a record."""
        ...

    def url(self, run_id: str) -> str:
        """Return the address of a run's page."""
        ...


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # libraries print where they like; what they would say on an error is in their exceptions
    os.dup2(nowhere, 2)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    configuration = orjson.loads(lines.get())
    runs: Runs | None = None
    while True:
        request = orjson.loads(lines.get())
        late = {"kind": "unavailable", "reason": f"no answer within {request['seconds']:g} s"}
        deadline = threading.Timer(request["seconds"], _say_and_leave, (answers, late))
        deadline.daemon = True
        deadline.start()
        try:
            runs = runs or _open(configuration)
            answer = _answer(runs, request)
        except Exception as error:
            answer = {"kind": "unavailable", "reason": f"{type(error).__name__} in its library"}
        deadline.cancel()
        if answer["kind"] == "unavailable":  # a library that has failed half-way is in no state to go on
            _say_and_leave(answers, answer)
        answers.write(orjson.dumps(answer) + b"\n")


def _read(lines: queue.SimpleQueue[bytes]) -> None:
    while line := sys.stdin.buffer.readline():
        lines.put(line)
    _leave()


def _say_and_leave(answers: BinaryIO, answer: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        answers.write(orjson.dumps(answer) + b"\n")
    _leave()


def _leave() -> Never:
    """End at once, whatever hangs, with all that was started; in a container nobody else might bury it."""
    kill_descendants(os.getpid())
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    os._exit(0)


def _open(configuration: dict[str, Any]) -> Runs:
    options = {key: value for key, value in configuration.items() if key not in {"provider", "embedded"}}
    if configuration["provider"] == "wandb":
        from tracking.wandb_runs import WandbRuns

        return WandbRuns(**options)
    if configuration["embedded"] is not None:
        from registry.store import prepare_embedded_store

        prepare_embedded_store(*map(Path, configuration["embedded"]))
    from tracking.mlflow_runs import MlflowRuns

    return MlflowRuns(**options)


def _answer(runs: Runs, request: dict[str, Any]) -> dict[str, Any]:
    try:
        if request["op"] == "url":
            return {"kind": "url", "url": runs.url(request["run_id"])}
        content = run_content(BiasTestRecord.model_validate_json(Path(request["path"]).read_bytes()))
        return {"kind": "delivered", "test_id": content.test_id, **asdict(runs.deliver(content))}
    except ProviderUnavailableError as error:
        return {"kind": "unavailable", "reason": error.reason}
    except RecordRefusedError as error:
        return {"kind": "refused", "reason": error.reason}
    except RunNotFoundError as error:
        return {"kind": "missing", "reason": str(error).partition(": ")[2]}
    except ValidationError:  # torn by a power cut, or written by another release
        return {"kind": "refused", "reason": "the file of the result cannot be read"}


if __name__ == "__main__":
    main()
