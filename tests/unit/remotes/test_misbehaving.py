"""Each protocol's client before a server that does all wrong things: each is an error of its kind, none a guess."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from inference.columns import columns_from_rows
from inference.observer import SilentObserver
from inference.served_model import Predictions
from inference.signature import Column, ColumnType, Signature, Task
from remotes.clients import open_client
from remotes.definition import Output, Reading, RemoteDefinition, RemoteModel, RemoteProtocol
from remotes.errors import (
    RemoteError,
    RemoteFailedError,
    RemoteMismatchError,
    RemoteRefusedError,
    RemoteTimeoutError,
    RemoteUnavailableError,
)
from remotes.observer import SilentRemoteObserver
from remotes.queue import RemoteQueue
from tests.fakes import remote_model as theirs
from tests.fakes.misbehaving_server import RemoteServer
from tests.fakes.remote_model import WRONG_CONTENT, Fault, Told
from tests.fakes.strangers import Stranger, pipeline_with_text

SIGNATURE = Signature(
    columns=(
        Column(name="age", type=ColumnType.DOUBLE),
        Column(name="amount", type=ColumnType.DOUBLE),
        Column(name="job", type=ColumnType.STRING),
    ),
    task=Task.BINARY,
    classes=("bad", "good"),
)
BOTH = (
    Output(name="predict", reading=Reading.LABEL),
    Output(name="predict_proba", reading=Reading.PROBABILITIES),
)
SHORT, LONG = 0.2, 60.0
"""Seconds that an answer may take: where none comes, and where one does."""
ROWS = 3

ERRORS: dict[Fault, type[RemoteError]] = {
    Fault.HANG: RemoteTimeoutError,
    Fault.ERROR: RemoteFailedError,
    Fault.BUSY: RemoteUnavailableError,
    Fault.REFUSAL: RemoteRefusedError,
    Fault.RESET: RemoteUnavailableError,
    Fault.CUT: RemoteFailedError,
    Fault.REDIRECT: RemoteFailedError,
    Fault.NOT_JSON: RemoteMismatchError,
    Fault.HUGE: RemoteMismatchError,
    **dict.fromkeys(WRONG_CONTENT, RemoteMismatchError),
}


@pytest.fixture(scope="module")
def stranger() -> Stranger:
    return pipeline_with_text()


@pytest.fixture(
    scope="module",
    params=[*((protocol, True) for protocol in RemoteProtocol), (RemoteProtocol.OIP_GRPC, False)],
    ids=lambda given: f"{given[0]}-{'raw' if given[1] else 'typed'}",
)
def spoken(request: pytest.FixtureRequest, stranger: Stranger) -> Iterator[tuple[RemoteServer, RemoteProtocol]]:
    """A server, and the protocol in which it is asked."""
    protocol, raw = request.param
    with RemoteServer(theirs.RemoteModel(stranger.model, stranger.frame), raw=raw) as server:
        yield server, protocol


@pytest.fixture
def protocol(spoken: tuple[RemoteServer, RemoteProtocol]) -> RemoteProtocol:
    return spoken[1]


@pytest.fixture
def server(spoken: tuple[RemoteServer, RemoteProtocol]) -> Iterator[RemoteServer]:
    yield spoken[0]
    spoken[0].misbehave(None)


def answer(
    server: RemoteServer,
    protocol: RemoteProtocol,
    stranger: Stranger,
    told: Told = Told.BOTH,
    seconds: float = LONG,
) -> Predictions:
    """Return what the server says of the first rows."""
    definition = RemoteDefinition(
        url=f"grpc://{server.target}" if protocol is RemoteProtocol.OIP_GRPC else server.url,
        protocol=protocol,
        model=None if protocol is RemoteProtocol.MLFLOW else server.model.name,
        version=server.model.version,
        outputs=BOTH if protocol.is_oip else (Output(reading=_READINGS[told]),),
        timeout_seconds=seconds,
        max_answer_bytes=1_000_000,
    )
    model = RemoteModel(definition=definition, signature=SIGNATURE)
    server.model.told = told

    async def ask() -> Predictions:
        queue = RemoteQueue(
            model,
            open_client(model),
            name="theirs",
            version="1",
            max_queue_rows=100,
            batches=SilentObserver(),
            calls=SilentRemoteObserver(),
        )
        try:
            return await queue.predict(columns_from_rows(stranger.rows(ROWS), SIGNATURE), ROWS)
        finally:
            await queue.close()

    return asyncio.run(ask())


_READINGS = {Told.BOTH: Reading.LABEL, Told.LABELS: Reading.LABEL, Told.PROBABILITIES: Reading.PROBABILITIES}


def test_one_that_behaves_says_what_its_model_says_at_home(
    server: RemoteServer, protocol: RemoteProtocol, stranger: Stranger
) -> None:
    found = answer(server, protocol, stranger)
    assert list(found.prediction) == list(stranger.model.predict(stranger.frame[:ROWS]))
    if protocol.is_oip:
        assert found.probabilities is not None
        np.testing.assert_allclose(found.probabilities[:, 1], stranger.probabilities(ROWS), atol=1e-12)


@pytest.mark.parametrize("fault", list(ERRORS), ids=lambda fault: fault.name)
def test_each_wrong_thing_is_an_error_of_its_kind(
    server: RemoteServer, protocol: RemoteProtocol, stranger: Stranger, fault: Fault
) -> None:
    told = Told.BOTH if protocol.is_oip else Told.PROBABILITIES
    server.misbehave(fault)
    with pytest.raises(RemoteError) as raised:
        answer(server, protocol, stranger, told, SHORT if fault is Fault.HANG else LONG)
    # gRPC has one status for a message that is too large and for a server that has too much to do.
    is_too_large = fault is Fault.HUGE and protocol is RemoteProtocol.OIP_GRPC
    assert isinstance(raised.value, RemoteUnavailableError if is_too_large else ERRORS[fault]), raised.value


def test_what_breaks_before_an_answer_is_asked_once_more_and_no_more_than_that(
    server: RemoteServer, protocol: RemoteProtocol, stranger: Stranger
) -> None:
    before = server.scored
    server.misbehave(Fault.RESET, times=1)
    answer(server, protocol, stranger)
    assert server.scored == before + 2
    server.misbehave(Fault.RESET)
    with pytest.raises(RemoteUnavailableError):
        answer(server, protocol, stranger)
    assert server.scored == before + 4


def test_what_took_too_long_is_not_asked_again(
    server: RemoteServer, protocol: RemoteProtocol, stranger: Stranger
) -> None:
    before = server.scored
    server.misbehave(Fault.HANG)
    with pytest.raises(RemoteTimeoutError):
        answer(server, protocol, stranger, seconds=SHORT)
    assert server.scored == before + 1
