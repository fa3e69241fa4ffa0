"""API keys on a real server: who is let in where, until when, and who decided what."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from access.key_store import create
from cli.children import free_port
from database.engine import sqlite_engine
from database.migrate import upgrade
from tests.e2e.conftest import FAIRMIND, ROOT, Deployment
from tests.waiting import PATIENCE, kept, until

pytestmark = pytest.mark.long
BENTOML = Path(sys.executable).with_name("bentoml")
SCOPES = ("predict", "outcome", "read", "bias", "rollout", "approve", "admin")
EVERYBODY = frozenset(SCOPES) | {""}

# A method, a path, and who of the keys of one scope each (and of those without a key: "") is let in.
ROUTES: list[tuple[str, str, frozenset[str]]] = [
    ("GET", "/livez", EVERYBODY),
    ("GET", "/v2/health/live", EVERYBODY),
    ("GET", "/schema.json", EVERYBODY),
    ("GET", "/api/v1/openapi.json", EVERYBODY),
    ("POST", "/predict", frozenset({"predict", "admin"})),
    ("POST", "/v2/models/small/infer", frozenset({"predict", "admin"})),
    ("GET", "/v2/models/small", frozenset({"predict", "read", "admin"})),
    ("GET", "/api/v1/status", frozenset({"read", "admin"})),
    ("GET", "/metrics", frozenset({"read", "admin"})),
    ("POST", "/bias_test", frozenset({"bias", "admin"})),
    ("POST", "/api/v1/outcomes", frozenset({"outcome", "admin"})),
    ("POST", "/api/v1/rollouts/r-0/abort", frozenset({"rollout", "admin"})),
    ("POST", "/api/v1/rollouts/r-0/approve", frozenset({"approve", "admin"})),
    ("POST", "/api/v1/anything", frozenset({"admin"})),
    ("POST", "/no/such/page", frozenset({"admin"})),
]


def ask(url: str, method: str, path: str, key: str = "", **request: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.request(method, url + path, headers=headers, timeout=60, verify=False, trust_env=False, **request)


@pytest.fixture(scope="module")
def deployment(new_small: Callable[[Path], Deployment], tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    made = new_small(tmp_path_factory.mktemp("keys") / "home")
    made.fairmind("models", "promote", "small/2", "--alias", "challenger")
    return made


@pytest.fixture(scope="module")
def keys(deployment: Deployment) -> dict[str, dict[str, Any]]:
    """A key of each scope, by its scope."""
    control, made = sqlite_engine(deployment.home / "fairmind.db"), {}
    upgrade(control, "control", deployment.home / "run" / "migrate.lock")
    for scope in SCOPES:
        key, token = create(control, scope, [scope], actor="me", now=datetime.now(UTC))
        made[scope] = {"id": key.id, "key": token.text}
    control.dispose()
    return made


@pytest.fixture(scope="module")
def exposed(deployment: Deployment, keys: dict[str, dict[str, Any]]) -> Iterator[Deployment]:
    """A server that listens on every interface, as a container does."""
    with deployment.serving(FAIRMIND_BENTOS_HOST="0.0.0.0") as served:
        served.wait_for_workers(lambda detail: detail["ready"])
        yield served


@pytest.fixture
def body(small_features: list[dict[str, Any]]) -> dict[str, Any]:
    return {"instances": [{"features": small_features[0], "unit": "person-1"}]}


@pytest.mark.parametrize(("method", "path", "let_in"), ROUTES, ids=[route[1] for route in ROUTES])
def test_each_scope_opens_its_routes_and_no_others(
    exposed: Deployment, keys: dict[str, dict[str, Any]], method: str, path: str, let_in: frozenset[str]
) -> None:
    found = set()
    for who in EVERYBODY:
        key, content = keys[who]["key"] if who else "", {"json": {}} if method == "POST" else {}
        answer = ask(exposed.url, method, path, key, **content)
        if answer.status_code not in {401, 403}:
            assert answer.status_code < 500, answer.text
            found.add(who)
        elif who:
            assert answer.status_code == 403
            assert keys[who]["id"] in answer.text
        else:
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert found == let_in


def test_a_key_that_nobody_made_is_refused_and_stands_nowhere(exposed: Deployment, body: dict[str, Any]) -> None:
    wrong = "fmk_0123456789ab_" + "5" * 64
    assert ask(exposed.url, "POST", "/predict", wrong, json=body).status_code == 401
    assert "5" * 64 not in exposed.server_log.read_text()


def test_every_worker_refuses_a_revoked_key_within_a_second(exposed: Deployment, body: dict[str, Any]) -> None:
    def seconds_it_was_let_in() -> float:
        made = exposed.fairmind("keys", "create", "short", "--scopes", "predict")
        until(lambda: ask(exposed.url, "POST", "/predict", made["key"], json=body).status_code == 200)
        exposed.fairmind("keys", "revoke", made["id"])
        revoked = let_in = time.monotonic()
        refused = 0
        while refused < 30:  # in a row, and a new connection each, which may reach any worker
            asked = time.monotonic()
            assert asked < revoked + PATIENCE, "it is let in for good"
            status = ask(exposed.url, "POST", "/predict", made["key"], json=body).status_code
            assert status in {200, 401}
            refused, let_in = (refused + 1, let_in) if status == 401 else (0, asked)
        return let_in - revoked

    kept(1.0, seconds_it_was_let_in)


def test_the_file_that_workers_follow_is_written_again_when_it_is_damaged(
    exposed: Deployment, keys: dict[str, dict[str, Any]], body: dict[str, Any]
) -> None:
    file = exposed.home / "run" / "keys.json"
    before = file.read_bytes()
    file.write_bytes(b"{")
    until(lambda: file.read_bytes() == before)
    until(lambda: ask(exposed.url, "POST", "/predict", keys["predict"]["key"], json=body).status_code != 503)


def test_a_key_has_its_rate_over_all_workers(exposed: Deployment, body: dict[str, Any]) -> None:
    made = exposed.fairmind("keys", "create", "slow", "--scopes", "predict", "--rate", "4")
    until(lambda: ask(exposed.url, "GET", "/v2", made["key"]).status_code != 401)
    began, answers = time.monotonic(), []
    for _ in range(60):
        answers.append(ask(exposed.url, "POST", "/predict", made["key"], json=body))
    took = time.monotonic() - began
    allowed = sum(answer.status_code == 200 for answer in answers)
    assert {answer.status_code for answer in answers} <= {200, 429}
    assert 1 <= allowed <= 4 * (1 + took) + 1
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1


def test_the_actor_of_a_rollout_is_the_key_whatever_the_client_claims(
    exposed: Deployment, keys: dict[str, dict[str, Any]], body: dict[str, Any]
) -> None:
    headers = {"Authorization": f"Bearer {keys['rollout']['key']}", "X-Fairmind-Principal": keys["admin"]["id"]}
    plan = {"model": "small", "steps": [{"weight": 0.5}]}
    answer = httpx.post(f"{exposed.url}/api/v1/rollouts", json=plan, headers=headers, timeout=30, trust_env=False)
    assert (answer.status_code, answer.json()["created_by"]) == (201, keys["rollout"]["id"])
    path = f"/api/v1/rollouts/{answer.json()['id']}"
    told = ask(exposed.url, "POST", "/predict", keys["predict"]["key"], json=body).json()["predictions"][0]
    assert "variant" not in told
    assert ask(exposed.url, "POST", f"{path}/abort", keys["predict"]["key"]).status_code == 403
    assert ask(exposed.url, "POST", f"{path}/abort", keys["rollout"]["key"]).status_code == 200


def test_no_path_makes_one_route_into_another(exposed: Deployment, keys: dict[str, dict[str, Any]]) -> None:
    """What a proxy or a client would normalise reaches the server as it is; sent by hand, for clients mend it."""
    import http.client

    port = httpx.URL(exposed.url).port
    for path in (
        "/api/v1/outcomes/../rollouts",
        "/api/v1/outcomes/%2e%2e/rollouts",
        "/api/v1/rollouts%2F..%2Fstatus",
        "/api/v1/rollouts/r-0%252Fapprove",
        "//api/v1/rollouts",
        "/api/v1/outcomes/..%2frollouts",
    ):
        for scope in ("outcome", "rollout"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            sent = {"Authorization": f"Bearer {keys[scope]['key']}", "Content-Type": "application/json"}
            connection.request("POST", path, json.dumps({"model": "small", "steps": [{"weight": 0.1}]}), sent)
            assert connection.getresponse().status in {403, 404, 405}, (path, scope)
            connection.close()
    listed = ask(exposed.url, "GET", "/api/v1/rollouts", keys["read"]["key"]).json()["rollouts"]
    assert all(rollout["state"] == "rolled_back" for rollout in listed)


def test_bentomls_own_client_sends_a_key_as_its_token(
    exposed: Deployment, keys: dict[str, dict[str, Any]], body: dict[str, Any]
) -> None:
    code = (
        "import bentoml, json, sys\n"
        "with bentoml.SyncHTTPClient(sys.argv[1], token=sys.argv[2]) as client:\n"
        "    print(json.dumps(client.predict(**json.load(sys.stdin))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, exposed.url, keys["predict"]["key"]],
        input=json.dumps(body),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["predictions"][0]["model_version"]


# ---- starting ----


@pytest.mark.parametrize(
    "command",
    [[FAIRMIND, "serve", "--host", "0.0.0.0"], [BENTOML, "serve", "."], [BENTOML, "serve", ".", "--host", "::"]],
    ids=["fairmind serve", "BENTOML_HOST", "bentoml serve --host"],
)
def test_without_a_key_nothing_starts_beyond_loopback(command: list[Any], tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    variables = Deployment(tmp_path / "home").environment
    variables |= {"FAIRMIND_BENTOS_PORT": str(free_port())}
    if len(command) == 3:
        variables["BENTOML_HOST"] = "0.0.0.0"
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "is reachable beyond this machine and there are no API keys" in last
    assert "fairmind keys create" in last
    assert "Traceback" not in done.stderr


def test_on_loopback_keys_are_optional_and_a_wrong_one_is_refused(
    deployment: Deployment, keys: dict[str, dict[str, Any]], body: dict[str, Any]
) -> None:
    with deployment.serving() as served:
        served.wait_for_workers(lambda detail: detail["ready"])
        assert served.predict(body["instances"])[0]["variant"] == "champion"
        assert served.get("/metrics").status_code == 200
        assert ask(served.url, "POST", "/predict", keys["predict"]["key"], json=body).status_code == 200
        assert ask(served.url, "POST", "/predict", keys["read"]["key"], json=body).status_code == 403
        assert ask(served.url, "POST", "/predict", "fmk_nobody", json=body).status_code == 401


def test_whoever_says_so_serves_everybody(deployment: Deployment, body: dict[str, Any]) -> None:
    with deployment.serving(FAIRMIND_BENTOS_HOST="0.0.0.0", FAIRMIND_BENTOS_INSECURE="true") as served:
        served.wait_for_workers(lambda detail: detail["ready"])
        assert served.predict(body["instances"])[0]["variant"] == "champion"
        assert ask(served.url, "POST", "/predict", "fmk_nobody", json=body).status_code == 401
