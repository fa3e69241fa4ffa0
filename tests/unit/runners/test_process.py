"""A model's process costs the one call that hangs it, crashes it or fills it, and outlives nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runners.errors import (
    ModelRaisedError,
    ModelRefusedRowsError,
    RunnerAnswerError,
    RunnerCrashedError,
    RunnerStartError,
    RunnerTimeoutError,
)
from runners.policy import RunnerPolicy
from runners.process import RunnerProcess
from tests.unit.runners.conftest import Start

ROOT = Path(__file__).resolve().parents[3]
TEXT = {"type": "tensor", "tensor-spec": {"dtype": "str", "shape": [-1, 1]}}
ODD: dict[str, Any] = {"code_paths": ("code",), "serialization": "pickle", "inputs": [TEXT]}


def call_of(what: str, rows: int = 1) -> dict[str, Any]:
    columns = [{"name": "0", "values": [what] * rows}]
    return {"op": "predict", "want": "predict", "rows": rows, "columns": columns}


def ask(process: RunnerProcess, what: str, *, rows: int = 1, seconds: float | None = None) -> list[Any]:
    header = call_of(what, rows)
    told, arrays = process.call(header, [], seconds=seconds)
    (output,) = told["outputs"]
    return list(arrays[output["array"]]) if "array" in output else list(output["values"])


def is_gone(process_id: int, seconds: float = 10.0) -> bool:
    """Return whether the process ends in time; one that is a zombie of somebody else's has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            status = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            return True
        if status.rpartition(")")[2].split()[0] in {"Z", "X"}:
            return True
        time.sleep(0.02)
    return False


def test_a_model_answers_from_its_process(start: Start, odd_model: Path) -> None:
    process = start(odd_model, **ODD)
    assert process.process_id is None
    assert ask(process, "hello", rows=2) == ["HELLO", "HELLO"]
    first = process.process_id
    assert ask(process, "again") == ["AGAIN"]
    assert process.process_id == first


def test_the_file_that_was_checked_is_the_one_that_is_loaded(start: Start, odd_model: Path) -> None:
    (odd_model / "model.pkl").rename(odd_model / "checked.pkl")
    (odd_model / "model.pkl").write_bytes(b"another reader of YAML might find this one")
    assert ask(start(odd_model, data="checked.pkl", **ODD), "hello") == ["HELLO"]


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("segfault", "was ended by signal 11 (SIGSEGV)"),
        ("end", "ended with status 3"),
        ("be killed", "was killed (signal 9, which is what a system short of memory does)"),
    ],
)
def test_a_crash_costs_one_call(start: Start, odd_model: Path, what: str, how: str) -> None:
    process = start(odd_model, **ODD)
    with pytest.raises(RunnerCrashedError) as caught:
        ask(process, what)
    assert caught.value.how == how
    assert process.process_id is None
    assert ask(process, "next") == ["NEXT"]


def test_a_hang_costs_one_call(start: Start, odd_model: Path) -> None:
    process = start(odd_model, **ODD)
    ask(process, "first")
    hanging = process.process_id
    assert hanging is not None
    started = time.monotonic()
    with pytest.raises(RunnerTimeoutError):
        ask(process, "hang", seconds=0.2)
    assert time.monotonic() - started < 30
    assert is_gone(hanging)
    assert ask(process, "next") == ["NEXT"]


def test_a_hang_without_a_deadline_ends_at_the_policy_s(start: Start, odd_model: Path) -> None:
    process = start(odd_model, RunnerPolicy(call_seconds=0.2), **ODD)
    with pytest.raises(RunnerTimeoutError):
        ask(process, "hang")


def test_a_caller_in_a_hurry_does_not_end_a_process_that_answers(start: Start, odd_model: Path) -> None:
    process = start(odd_model, **ODD)
    process.start()
    first = process.process_id
    assert ask(process, "soon", seconds=1e-3) == ["SOON"]
    assert process.process_id == first


def test_a_model_that_hoards_memory_costs_one_call(start: Start, odd_model: Path) -> None:
    process = start(odd_model, RunnerPolicy(memory_bytes=1_000_000_000), **ODD)
    with pytest.raises(RunnerCrashedError, match=r"ran out of memory \(it may have 1,000 MB\)"):
        ask(process, "hoard")
    assert ask(process, "next") == ["NEXT"]


def test_an_answer_that_is_too_large_costs_one_call(start: Start, odd_model: Path) -> None:
    process = start(odd_model, RunnerPolicy(max_answer_bytes=1_000_000), **ODD)
    with pytest.raises(RunnerAnswerError, match="larger than 1,000,000 bytes"):
        ask(process, "talk")
    assert ask(process, "next") == ["NEXT"]


def test_what_a_model_prints_is_no_answer(start: Start, odd_model: Path) -> None:
    assert ask(start(odd_model, **ODD), "shout") == ["SHOUT"]


def test_what_a_model_raises_is_told_and_its_process_goes_on(start: Start, odd_model: Path) -> None:
    process = start(odd_model, **ODD)
    with pytest.raises(ModelRefusedRowsError, match=r"the model refuses these rows: ValueError: no such thing$"):
        ask(process, "refuse")
    first = process.process_id
    with pytest.raises(ModelRaisedError, match="raised KeyError") as caught:
        ask(process, "fail")
    assert "secret" not in str(caught.value)
    with pytest.raises(ModelRaisedError, match="raised SystemExit"):
        ask(process, "exit")
    with pytest.raises(RunnerAnswerError, match="values of type object"):
        ask(process, "object")
    assert ask(process, "next") == ["NEXT"]
    assert process.process_id == first


def test_a_process_killed_between_calls_is_started_again(start: Start, odd_model: Path) -> None:
    process = start(odd_model, **ODD)
    process.start()
    first = process.process_id
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert ask(process, "next") == ["NEXT"]
    assert process.process_id != first


def test_what_a_model_started_ends_with_it(start: Start, odd_model: Path) -> None:
    process = start(odd_model, **ODD)
    (child,) = ask(process, "have children")
    process.close()
    assert is_gone(int(child))


def test_ending_leaves_no_zombie_and_no_open_file(start: Start, odd_model: Path) -> None:
    start(odd_model, **ODD).start()  # what is opened once for all processes is open now
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        process = start(odd_model, **ODD)
        process.start()
        ended = process.process_id
        process.close()
        assert not Path(f"/proc/{ended}").exists()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_closed_process_stays_closed(start: Start, odd_model: Path) -> None:
    process = start(odd_model, **ODD)
    process.start()
    process.close()
    process.close()
    with pytest.raises(RunnerStartError, match="closed"):
        ask(process, "next")


def test_a_model_sees_none_of_this_process_s_settings(
    start: Start, odd_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    names, folder, first_path, own_id = ask(start(odd_model, **ODD), "environment")
    assert {"WANDB_API_KEY", "PYTHONPATH"}.isdisjoint(names)
    assert {"PATH", "OMP_NUM_THREADS"} <= set(names)
    assert folder != str(Path.cwd())
    assert first_path == str(odd_model / "code")
    assert own_id != os.getpid()


def test_a_model_that_does_not_load_is_told_of_and_not_tried_at_every_call(start: Start, odd_model: Path) -> None:
    (odd_model / "code" / "odd.py").write_text("raise ImportError('no odds')", encoding="utf-8")
    process = start(odd_model, **ODD)
    with pytest.raises(RunnerStartError, match=r"ImportError: no odds$"):
        process.start()
    with pytest.raises(RunnerStartError, match="no odds; it is tried again in 1 s"):
        ask(process, "next")


def test_a_model_that_loads_for_ever_is_given_up(start: Start, odd_model: Path) -> None:
    (odd_model / "code" / "odd.py").write_text("while True: pass", encoding="utf-8")
    process = start(odd_model, RunnerPolicy(start_seconds=0.5), **ODD)
    with pytest.raises(RunnerStartError, match=r"not loaded within 0\.5 s"):
        process.start()
    assert process.process_id is None


def test_a_model_that_crashes_as_it_loads_is_told_of(start: Start, odd_model: Path) -> None:
    (odd_model / "code" / "odd.py").write_text("import ctypes; ctypes.string_at(0)", encoding="utf-8")
    with pytest.raises(RunnerStartError, match=r"SIGSEGV\) while it loaded"):
        start(odd_model, **ODD).start()


def test_an_interpreter_that_is_not_there_is_told_of(start: Start, odd_model: Path) -> None:
    with pytest.raises(RunnerStartError, match="/no/such/python cannot be run"):
        start(odd_model, python="/no/such/python", **ODD).start()


def test_a_worker_that_is_killed_takes_its_models_with_it(odd_model: Path) -> None:
    program = """
import json, sys
from runners.process import RunnerProcess
from runners.specification import RunnerSpecification
process = RunnerProcess(RunnerSpecification.model_validate_json(sys.argv[1]))
process.start()
print(process.process_id, flush=True)
process.call(json.loads(sys.argv[2]), [], seconds=None)
"""
    specification = {"python": sys.executable, "model": str(odd_model), "flavour": "sklearn", **ODD}
    arguments = [json.dumps(specification), json.dumps(call_of("hang"))]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        model = int(worker.stdout.readline())
        assert Path(f"/proc/{model}").exists()
        worker.kill()
    assert is_gone(model)
