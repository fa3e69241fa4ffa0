"""HTTP over TLS as a worker serves it: by BentoML's options for uvicorn, on uvloop, and past uvicorn too."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import uvicorn.protocols.http.auto
import uvloop
from cryptography.hazmat.primitives import serialization
from pydantic import ValidationError

from bentos import forwarding
from bentos.edge import FrontDoor
from bentos.listening import take_connections_in_bulk
from bentos.protocol import DirectExchange, HotProtocol
from bentos.settings import ServingSettings
from bentos.tls import http_options, tls_or_exit
from bentos.worker import Worker
from tests.unit.bentos.certificates import Certificates, make_certificates

Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def with_files(certificates: Certificates, *, mutual: bool = False) -> ServingSettings:
    return ServingSettings(
        tls_certificate=certificates.server,
        tls_key=certificates.server_key,
        tls_client_ca=certificates.authority if mutual else None,
    )


def trusting(authority: Path | None, certificates: Certificates | None = None) -> ssl.SSLContext:
    """Return a client that trusts an authority, the system's where there is none, and shows its own certificate."""
    context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    if certificates is not None:
        context.load_cert_chain(certificates.client, certificates.client_key)
    return context


@pytest.fixture
def restored() -> Iterator[None]:
    before = uvicorn.protocols.http.auto.AutoHTTPProtocol
    yield
    uvicorn.protocols.http.auto.AutoHTTPProtocol = before


@pytest.fixture
def serve(service: Any, credit: Any, restored: None) -> Callable[[ServingSettings, Callable[..., Any]], list[str]]:
    """Runs a scenario against a server with these settings; returns the paths that went past uvicorn."""
    service.serve(credit)
    direct: list[str] = []

    class Door(FrontDoor):
        async def answer_entered(self, exchange: Any) -> None:
            if isinstance(exchange, DirectExchange):
                direct.append(exchange.path)
            await super().answer_entered(exchange)

    def run(settings: ServingSettings, scenario: Callable[[str], Awaitable[None]]) -> list[str]:
        options = {f"ssl_{name}": value for name, value in http_options(settings).items() if name != "enabled"}

        async def with_worker(_client: httpx.AsyncClient, worker: Worker) -> None:
            door = Door(_nothing, worker, forwarding.Companion(), service.admission())
            HotProtocol.install(door, idle_seconds=5)
            take_connections_in_bulk(asyncio.get_running_loop())
            with socket.create_server(("127.0.0.1", 0)) as listener:
                port = listener.getsockname()[1]
                config = uvicorn.Config(door, lifespan="off", log_config=None, ws="none", **options)
                server = uvicorn.Server(config)
                serving = asyncio.create_task(server._serve([listener]))
                while not server.started:
                    await asyncio.sleep(0.01)
                try:
                    await scenario(f"https://127.0.0.1:{port}")
                finally:
                    server.should_exit = True
                    await serving

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(service._run(with_worker))
        return direct

    return run


async def _nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError("nothing falls through to BentoML here")


async def ask(url: str, context: ssl.SSLContext, body: Any) -> httpx.Response:
    async with httpx.AsyncClient(verify=context, trust_env=False, timeout=30) as client:
        return await client.post(f"{url}/predict", json=body)


async def is_refused(url: str, context: ssl.SSLContext, body: Any) -> bool:
    try:
        await ask(url, context, body)
    except httpx.TransportError:
        return True
    return False


@pytest.mark.parametrize("mutual", [False, True], ids=["TLS", "mutual TLS"])
def test_predictions_are_answered_over_tls_and_only_to_whom_they_should_be(
    serve: Any, credit: Any, certificates: Certificates, mutual: bool
) -> None:
    body = {"instances": credit.instances(2)}
    known, unknown = trusting(certificates.authority, certificates), trusting(certificates.authority)

    async def scenario(url: str) -> None:
        for _ in range(2):  # whoever is refused takes nothing from those who are not
            answer = await ask(url, known, body)
            found = [one["probability"] for one in answer.json()["predictions"]]
            assert found == pytest.approx(credit.probabilities(2), abs=1e-6)
            assert await is_refused(url, trusting(None), body), "another authority's client trusts nobody here"
            assert await is_refused(url, unknown, body) == mutual
            assert await is_refused(url.replace("https", "http"), unknown, body), "in the clear"

    serve(with_files(certificates, mutual=mutual), scenario)


def test_a_request_that_comes_in_one_piece_goes_past_uvicorn_over_tls_too(
    serve: Any, credit: Any, certificates: Certificates
) -> None:
    body = json.dumps({"instances": credit.instances(1)}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def scenario(url: str) -> None:
        port, context = httpx.URL(url).port, trusting(certificates.authority)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        for _ in range(3):
            writer.write(head + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert answer.startswith("http/1.1 200")
            await reader.readexactly(int(answer.partition("content-length: ")[2].partition("\r")[0]))
        writer.write(head + body)
        writer.close()  # TLS has no half of a connection: whoever closes wants no answer
        await writer.wait_closed()

    assert serve(with_files(certificates), scenario)[:3] == ["/predict"] * 3


def test_many_requests_over_one_connection_and_a_large_one_are_answered(
    serve: Any, credit: Any, certificates: Certificates
) -> None:
    async def scenario(url: str) -> None:
        context = trusting(certificates.authority)
        async with httpx.AsyncClient(verify=context, trust_env=False, timeout=60) as client:
            for count in (1, 5, 1, 2):
                answer = await client.post(f"{url}/predict", json={"instances": credit.instances(count)})
                assert len(answer.json()["predictions"]) == count
            many = credit.instances(400) * 10
            answer = await client.post(f"{url}/predict", json={"instances": many})
            assert len(answer.json()["predictions"]) == len(many)
            assert (await client.get(f"{url}/livez")).status_code == 200

    serve(with_files(certificates), scenario)


# ---- the files ----


def test_without_files_bentoml_is_told_that_there_is_no_tls() -> None:
    assert http_options(ServingSettings()) == {"enabled": False}
    tls_or_exit(ServingSettings())


@pytest.mark.parametrize("mutual", [False, True], ids=["TLS", "mutual TLS"])
def test_a_certificate_with_its_key_may_start(certificates: Certificates, mutual: bool) -> None:
    tls_or_exit(with_files(certificates, mutual=mutual))


def test_a_certificate_without_its_key_or_an_authority_alone_is_no_setting(certificates: Certificates) -> None:
    for settings in ({"tls_certificate": certificates.server}, {"tls_client_ca": certificates.authority}):
        with pytest.raises(ValidationError, match="go together"):
            ServingSettings(**settings)
    with pytest.raises(ValidationError, match="no file of that name"):
        ServingSettings(tls_certificate=Path("nowhere.pem"), tls_key=certificates.server_key)


def test_a_file_is_found_from_another_folder_too(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(certificates.server.parent)
    settings = ServingSettings(tls_certificate=Path("server.pem"), tls_key=Path("server.key"))
    monkeypatch.chdir(tmp_path)
    tls_or_exit(settings)


@pytest.mark.parametrize(
    ("certificate", "key", "authority", "words"),
    [
        ("server", "client_key", None, "TLS_KEY are not a certificate and its key, in PEM"),
        ("server_key", "server_key", None, "TLS_KEY are not a certificate and its key, in PEM"),
        ("server", "encrypted", None, "(the key is encrypted)"),
        ("server", "server_key", "server_key", "TLS_CLIENT_CA holds no certificate, in PEM"),
    ],
)
def test_files_that_cannot_be_used_end_the_start_with_one_line(
    certificates: Certificates,
    tmp_path: Path,
    certificate: str,
    key: str,
    authority: str | None,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret = serialization.load_pem_private_key(certificates.server_key.read_bytes(), password=None)
    (tmp_path / "encrypted.key").write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"geheim"),
        )
    )
    settings = ServingSettings(
        tls_certificate=getattr(certificates, certificate),
        tls_key=tmp_path / "encrypted.key" if key == "encrypted" else getattr(certificates, key),
        tls_client_ca=None if authority is None else getattr(certificates, authority),
    )
    with pytest.raises(SystemExit) as refused:
        tls_or_exit(settings)
    assert refused.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: FAIRMIND_BENTOS_TLS_")
    assert words in line
