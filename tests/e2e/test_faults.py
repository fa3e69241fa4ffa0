"""Things that break, on real processes: files, models, the Companion, a worker. Serving goes on, and says so."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import psutil
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from registry.mlflow_registry import MlflowRegistry
from registry.store import embedded_tracking_uri
from tests.fakes.strangers import Stranger, log
from tests.waiting import until

pytestmark = pytest.mark.long

SETTINGS = {
    "FAIRMIND_REGISTRY_POLL_SECONDS": "0.5",
    "FAIRMIND_BENTOS_IDLE_VERSIONS": "0",
    # A row that ends its model's process does so twice, in the batch and alone, and each time the process starts
    # again: imports of seconds, on a busy machine of many. What is tested is who is answered, not how soon.
    "FAIRMIND_BENTOS_TIMEOUT_SECONDS": "30",
}


def moody() -> Stranger:
    """A model that does what its column `mood` says."""

    class Moody(RegressorMixin, BaseEstimator):
        def fit(self, frame: Any, label: Any) -> Any:
            self.fitted_ = True
            return self

        def predict(self, frame: Any) -> Any:
            import ctypes

            for mood in frame["mood"]:
                if mood == "stuck":
                    while True:
                        pass
                if mood == "broken":
                    ctypes.string_at(0)
                if mood == "picky":
                    raise ValueError("I do not like it")
                if mood == "angry":
                    raise RuntimeError("Zaphod-Beeblebrox")
            return frame["amount"].to_numpy() * 2.0

    frame = pd.DataFrame({"amount": [1.0, 2.0, 3.0] * 4, "mood": ["well", "fine", "good"] * 4})
    return Stranger(Moody().fit(frame, frame["amount"]), frame)


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    new_deployment: Callable[[Path], Any],
    train_small: Callable[[Any], None],
) -> Iterator[Any]:
    """A server with `small`, a compiled model, and `moody`, a stranger's."""
    folder = tmp_path_factory.mktemp("faults")
    deployment = new_deployment(folder / "home")
    train_small(deployment)
    uri = embedded_tracking_uri(deployment.home / "mlflow.db")
    with contextlib.chdir(folder):
        log(moody(), "moody", uri)
    MlflowRegistry(uri).set_alias("moody", "champion", "1")
    with deployment.serving(**SETTINGS) as running:
        running.wait_for_workers(lambda detail: {"small", "moody"} <= set(detail["models"]))
        yield running


def processes(served: Any, service: str) -> list[psutil.Process]:
    """Return the server's processes of one service."""
    found = []
    for process in psutil.Process(served.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            words = process.cmdline()
            if "--service-name" in words and words[words.index("--service-name") + 1] == service:
                found.append(process)
    return found


def ask_moody(served: Any, mood: str, amount: float = 21.0) -> httpx.Response:
    body = {"model": "moody", "instances": [{"features": {"amount": amount, "mood": mood}}]}
    response: httpx.Response = served.post("/predict", body)
    return response


# ---- a model that is not well ----


@pytest.mark.parametrize(
    ("mood", "status", "code"),
    [
        ("picky", 422, "model_refused"),
        ("angry", 500, "model_failed"),
        ("broken", 500, "model_crashed"),
        ("stuck", 504, "deadline_exceeded"),
    ],
)
def test_a_row_that_a_model_cannot_stand_costs_its_own_request_alone(
    served: Any, small_features: list[dict[str, Any]], mood: str, status: int, code: str
) -> None:
    small = {"model": "small", "instances": [{"features": small_features[0]}]}
    with ThreadPoolExecutor(24) as pool:
        culprit = pool.submit(ask_moody, served, mood)
        same = [pool.submit(ask_moody, served, "well", float(number)) for number in range(12)]
        other = [pool.submit(served.post, "/predict", small) for _ in range(12)]
        answers = [future.result() for future in same]
        assert [answer.status_code for answer in answers] == [200] * 12, [answer.text for answer in answers]
        predictions = [answer.json()["predictions"][0]["prediction"] for answer in answers]
        assert predictions == [2.0 * number for number in range(12)]
        assert [future.result().status_code for future in other] == [200] * 12
        refused = culprit.result()
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert "Zaphod" not in refused.text
    assert "Zaphod" not in served.server_log.read_text()
    assert ask_moody(served, "well").json()["predictions"][0]["prediction"] == 42.0


# ---- bytes that are no HTTP, or say the wrong length ----

POST = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
RAW_REQUESTS = {
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no version": b"POST /predict\r\n\r\n",
    "a length beyond all numbers": POST + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n{}",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n{}",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a chunk that is none": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "a body shorter than said": POST + b"Content-Length: 200\r\n\r\n{}",
    "a body longer than said": POST + b'Content-Length: 2\r\n\r\n{"instances": []}',
    "no host": b"POST /predict HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    "a header of a megabyte": POST + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("case", RAW_REQUESTS)
def test_what_is_no_proper_http_is_a_4xx_or_a_closed_connection_and_no_error_of_ours(
    served: Any, case: str
) -> None:
    before = served.server_log.stat().st_size
    port = int(served.url.rpartition(":")[2])
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(RAW_REQUESTS[case])
        connection.shutdown(socket.SHUT_WR)
        while received := connection.recv(65_536):
            answer += received
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    assert served.get("/readyz").status_code == 200
    assert b"Traceback" not in served.server_log.read_bytes()[before:]


# ---- files that are not what was registered ----


def runtime_files(folder: Path, pattern: str) -> list[Path]:
    return [path for path in folder.glob(pattern) if path.name == "arrays.npz"]


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def champion(served: Any) -> str:
    return str(served.get("/readyz").json()["models"]["small"]["champion"])


def registry_of(served: Any) -> MlflowRegistry:
    return MlflowRegistry(embedded_tracking_uri(served.home / "mlflow.db"))


def test_a_copy_that_was_damaged_on_disk_is_fetched_again_and_a_version_damaged_in_the_registry_never_serves(
    served: Any, load: Any, small_features: list[dict[str, Any]]
) -> None:
    registry = registry_of(served)
    with load(served.url, small_features, clients=4, model="small").running() as asking:
        registry.set_alias("small", "champion", "2")
        served.wait_for_workers(lambda detail: detail["models"]["small"]["champion"] == "2")
        expected = served.predict([{"features": row} for row in small_features], "small")
        registry.set_alias("small", "champion", "1")
        served.wait_for_workers(lambda detail: detail["models"]["small"]["champion"] == "1")

        copies = runtime_files(served.home / "models" / "small", "2-*/fairmind/**/*")
        assert copies
        flip_a_byte(copies[0])
        registry.set_alias("small", "champion", "2")
        served.wait_for_workers(lambda detail: detail["models"]["small"]["champion"] == "2")
        again = served.predict([{"features": row} for row in small_features], "small")
        assert [one["probability"] for one in again] == [one["probability"] for one in expected]
        registry.set_alias("small", "champion", "1")
        served.wait_for_workers(lambda detail: detail["models"]["small"]["champion"] == "1")

        copy = runtime_files(served.home / "models" / "small", "2-*/fairmind/**/*")[0]
        good = copy.read_bytes()
        (stored,) = [path for path in runtime_files(served.home / "artifacts", "**/*") if path.read_bytes() == good]
        flip_a_byte(copy)
        flip_a_byte(stored)
        registry.set_alias("small", "champion", "2")
        served.wait_for_workers(lambda detail: "digest" in detail["problems"].get("small/2", ""))
        asking.wait_for(50)
        assert champion(served) == "1"
        assert served.get("/readyz").status_code == 200
        assert "digest" in served.get("/api/v1/models").json()["problems"]["small/2"]
        assert "small/2" in served.get("/api/v1/status").json()["problems"]["versions"]
        assert 'fairmind_model_missing{model="small",model_version="2"} 1.0' in served.get("/metrics").text
        stored.write_bytes(good)
        registry.set_alias("small", "champion", "1")
        served.wait_for_workers(lambda detail: not detail["problems"])
    assert asking.failed == []
    assert {version for _, version, _ in asking.answered.values()} == {"1", "2"}


# ---- processes that are killed ----


def test_a_companion_that_is_killed_is_started_again_and_predictions_go_on_meanwhile(
    served: Any, load: Any, small_features: list[dict[str, Any]]
) -> None:
    (companion,) = processes(served, "FairMindCompanion")
    with load(served.url, small_features, clients=4, model="small").running() as asking:
        asking.wait_for(50)
        companion.kill()
        asking.wait_for(200)
        until(lambda: {one.pid for one in processes(served, "FairMindCompanion")} - {companion.pid})
        until(lambda: served.get("/api/v1/status").status_code == 200)
        served.wait_for_workers(lambda detail: not detail["problems"])
        registry_of(served).set_alias("small", "champion", "2")
        served.wait_for_workers(lambda detail: detail["models"]["small"]["champion"] == "2")
        registry_of(served).set_alias("small", "champion", "1")
        served.wait_for_workers(lambda detail: detail["models"]["small"]["champion"] == "1")
    assert asking.failed == []
    until(lambda: shipped_once(served, asking))


def test_a_worker_that_is_killed_under_load_costs_what_it_had_in_flight_and_no_answer_is_missing_in_the_log(
    served: Any, load: Any, small_features: list[dict[str, Any]]
) -> None:
    with load(served.url, small_features, clients=4, model="small").running() as asking:
        asking.wait_for(200)
        victim = processes(served, "FairMind")[0]
        victim.kill()
        asking.wait_for(200)
        until(lambda: len({one.pid for one in processes(served, "FairMind")} - {victim.pid}) == 2)
        served.wait_for_workers(lambda detail: detail["ready"] and detail["worker"] != victim.pid)
        asking.wait_for(200)
    assert len(asking.failed) <= asking.clients, Counter(asking.failed)
    assert [failure for failure in asking.failed if failure[:1].isdigit()] == [], "no answer is a 5xx"
    until(lambda: shipped_once(served, asking))


def shipped_once(served: Any, asking: Any) -> bool:
    """Return whether each answer is in the database, once."""
    # Callers number their requests anew in each test: what they were answered with tells the tests apart.
    answered = {prediction_id: caller_id for caller_id, (prediction_id, _, _) in asking.answered.items()}
    database = f"file:{served.home / 'predictions.db'}?mode=ro"
    with contextlib.closing(sqlite3.connect(database, uri=True)) as connection:
        rows = connection.execute("SELECT prediction_id, caller_id FROM prediction").fetchall()
    found = [(prediction_id, caller_id) for prediction_id, caller_id in rows if prediction_id in answered]
    assert len(found) == len(set(found))
    assert all(answered[prediction_id] == caller_id for prediction_id, caller_id in found)
    return len(found) == len(answered)
