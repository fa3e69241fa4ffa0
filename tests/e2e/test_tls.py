"""TLS on a real server: both ports, both workers, and the Companion behind them."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from cli.children import free_port, running, wait_until
from inference.grpc_messages import SERVICE, ModelInferResponse
from tests.e2e.conftest import FAIRMIND, Deployment
from tests.unit.bentos.certificates import Certificates, make_certificates
from tests.unit.bentos.grpc_client import request
from tests.waiting import PATIENCE

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def deployment(new_small: Callable[[Path], Deployment], tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return new_small(tmp_path_factory.mktemp("tls") / "home")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def client(authority: Path | None, own: Certificates | None = None) -> httpx.Client:
    context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    if own is not None:
        context.load_cert_chain(own.client, own.client_key)
    return httpx.Client(verify=context, trust_env=False, timeout=60)


def is_refused(asking: httpx.Client, url: str) -> bool:
    with asking:
        try:
            asking.get(f"{url}/livez")
        except httpx.TransportError:
            return True
    return False


def grpc_code(port: int, message: Any, credentials: Any) -> str:
    """Return how a prediction over gRPC ends."""
    opened = (
        grpc.insecure_channel(f"127.0.0.1:{port}")
        if credentials is None
        else grpc.secure_channel(f"localhost:{port}", credentials)
    )
    with opened:
        ask = opened.unary_unary(
            f"/{SERVICE}/ModelInfer", lambda sent: sent.SerializeToString(), ModelInferResponse.FromString
        )
        try:
            ask(message, timeout=60)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


@pytest.mark.parametrize("mutual", [False, True], ids=["TLS", "mutual TLS"])
def test_both_ports_speak_tls_with_those_they_should(
    deployment: Deployment, certificates: Certificates, small_features: list[dict[str, Any]], mutual: bool
) -> None:
    port, grpc_port = free_port(), free_port()
    url = f"https://127.0.0.1:{port}"
    settings = {
        "FAIRMIND_BENTOS_TLS_CERTIFICATE": certificates.server.name,  # as seen from where it is started
        "FAIRMIND_BENTOS_TLS_KEY": str(certificates.server_key),
    }
    if mutual:
        settings["FAIRMIND_BENTOS_TLS_CLIENT_CA"] = str(certificates.authority)
    environment = deployment.environment | settings
    program = f"cd {certificates.server.parent} && exec {FAIRMIND} serve --port {port} --grpc-port {grpc_port}"
    command = ["sh", "-c", f"{program} --workers 2"]
    body = {"instances": [{"features": row} for row in small_features[:20]]}
    with (
        client(certificates.authority, certificates) as known,
        running("the server", command, environment, deployment.server_log) as process,
    ):

        def is_ready() -> bool:
            try:
                return all(known.get(f"{url}{path}").status_code == 200 for path in ("/readyz", "/api/v1/status"))
            except httpx.TransportError:
                return False

        wait_until("the server", process, deployment.server_log, is_ready, PATIENCE)
        answer = known.post(f"{url}/predict", json=body)
        assert (answer.status_code, len(answer.json()["predictions"])) == (200, 20)
        assert known.get(f"{url}/metrics").status_code == 200
        assert is_refused(client(None), url), "who trusts other authorities"
        assert is_refused(client(certificates.authority), url) == mutual, "who shows no certificate"
        assert is_refused(client(certificates.authority), url.replace("https", "http")), "in the clear"

        message = request("small", {name: [value] for name, value in small_features[0].items()})
        authority = certificates.authority.read_bytes()
        shown = grpc.ssl_channel_credentials(
            authority, certificates.client_key.read_bytes(), certificates.client.read_bytes()
        )
        assert grpc_code(grpc_port, message, shown) == "OK"
        expected = "UNAVAILABLE" if mutual else "OK"
        assert grpc_code(grpc_port, message, grpc.ssl_channel_credentials(authority)) == expected
        assert grpc_code(grpc_port, message, grpc.ssl_channel_credentials()) == "UNAVAILABLE"
        assert grpc_code(grpc_port, message, None) == "UNAVAILABLE"

        done = subprocess.run(
            [FAIRMIND, "doctor"],
            env=environment | {"FAIRMIND_BENTOS_PORT": str(port)},
            cwd=certificates.server.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert url in done.stdout
    log = deployment.server_log.read_text()
    assert "Traceback" not in log


def test_files_that_are_no_certificate_and_its_key_stop_the_start(
    deployment: Deployment, certificates: Certificates
) -> None:
    settings = {
        "FAIRMIND_BENTOS_TLS_CERTIFICATE": str(certificates.server),
        "FAIRMIND_BENTOS_TLS_KEY": str(certificates.client_key),
    }
    command = [str(FAIRMIND), "serve", "--port", str(free_port()), "--grpc-port", str(free_port())]
    done = subprocess.run(
        command,
        env=deployment.environment | settings,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "FAIRMIND_BENTOS_TLS_KEY" in line
    assert "Traceback" not in done.stdout + done.stderr
