"""`fairmind doctor`: every check is made, whatever the others found, and the status says whether all is well."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from cli.children import free_port
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.certificates import Certificates, make_certificates
from tracking.outbox import Outbox, ProviderState
from tracking.record import BiasTestRecord
from tracking.settings import Provider

Command = Callable[..., Result]


class _Server(http.server.BaseHTTPRequestHandler):
    """A front door whose readiness is the class's `problems`."""

    problems: dict[str, str] = {}  # noqa: RUF012  (a handler is made per request)

    def do_GET(self) -> None:
        body = json.dumps({"ready": not self.problems, "problems": self.problems}).encode()
        self.send_response(503 if self.problems else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, home: object) -> Iterator[type[_Server]]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Server) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        monkeypatch.setenv("FAIRMIND_BENTOS_PORT", str(listening.server_port))
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # a proxy has no part in reaching this machine
        monkeypatch.setattr(_Server, "problems", {})
        yield _Server
        listening.shutdown()
        thread.join()


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@pytest.fixture
def secure(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, home: object, request: pytest.FixtureRequest
) -> Iterator[None]:
    """The same front door over TLS; with the parameter, for clients with a certificate only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    monkeypatch.setenv("FAIRMIND_BENTOS_TLS_CERTIFICATE", str(certificates.server))
    monkeypatch.setenv("FAIRMIND_BENTOS_TLS_KEY", str(certificates.server_key))
    if request.param:
        context.load_verify_locations(certificates.authority)
        context.verify_mode = ssl.CERT_REQUIRED
        monkeypatch.setenv("FAIRMIND_BENTOS_TLS_CLIENT_CA", str(certificates.authority))
    with http.server.HTTPServer(("127.0.0.1", 0), _Server) as listening:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        monkeypatch.setenv("FAIRMIND_BENTOS_PORT", str(listening.server_port))
        yield
        listening.shutdown()
        thread.join()


def checks(result: Result) -> dict[str, dict[str, Any]]:
    return {check["check"]: check for check in json.loads(result.stdout)["checks"]}


def test_all_is_well(fairmind: Command, server: type[_Server]) -> None:
    result = fairmind("doctor", "--json")
    assert result.exit_code == 0
    found = checks(result)
    assert set(found) == {"home", "control database", "prediction log", "registry", "server", "tracking"}
    assert all(check["ok"] for check in found.values())
    assert found["registry"]["detail"].startswith("1 models at sqlite:///")
    assert found["tracking"]["detail"] == "results of tests go nowhere (MLOPS_PROVIDER=none)"
    assert fairmind("doctor").exit_code == 0


def test_results_that_wait_for_their_provider_are_amiss(
    fairmind: Command, server: type[_Server], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("MLOPS_PROVIDER", "both")
    assert checks(fairmind("doctor", "--json"))["tracking"]["detail"] == "results of tests go to wandb and mlflow"
    outbox = Outbox(home / "tracking")
    outbox.add(BiasTestRecord.of("t", "m", "ml_bias", {}), [Provider.MLFLOW])
    outbox.set_state(Provider.MLFLOW, ProviderState("it is away"))
    result = fairmind("doctor", "--json")
    assert result.exit_code == 1
    assert checks(result)["tracking"]["detail"] == "mlflow: it is away; results that wait: 1"


@pytest.mark.parametrize(
    ("secure", "words"),
    [(False, "ready at https://"), (True, "for clients with a certificate only")],
    indirect=["secure"],
)
def test_a_server_with_tls_is_asked_over_it(fairmind: Command, secure: None, words: str) -> None:
    result = fairmind("doctor", "--json")
    assert (result.exit_code, words in checks(result)["server"]["detail"]) == (0, True)


def test_a_server_that_is_away_is_told_with_the_remedy(fairmind: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRMIND_BENTOS_PORT", str(free_port()))
    result = fairmind("doctor", "--json")
    assert result.exit_code == 1
    assert "fairmind serve" in checks(result)["server"]["detail"]
    assert [name for name, check in checks(result).items() if not check["ok"]] == ["server"]


def test_what_is_amiss_is_told_and_the_other_checks_go_on(
    fairmind: Command, server: type[_Server], registry: FakeRegistry
) -> None:
    registry.away = True
    server.problems = {"credit/2": "did not load: [/x]"}
    result = fairmind("doctor", "--json")
    assert result.exit_code == 1
    found = checks(result)
    assert {name for name, check in found.items() if not check["ok"]} == {"registry", "server"}
    assert "cannot be reached" in found["registry"]["detail"]
    assert found["server"]["detail"] == "credit/2: did not load: [/x]"
    shown = fairmind("doctor")
    assert (shown.exit_code, type(shown.exception)) == (1, SystemExit)
