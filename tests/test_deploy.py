"""`deploy/`: what it names is there, what it publishes is loopback's, what it runs is pinned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bentos.settings import ServingSettings

ROOT = Path(__file__).resolve().parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_publishes_on_loopback_only_and_runs_a_version_that_is_named(service: str) -> None:
    described = SERVICES[service]
    assert [port for port in described.get("ports", []) if not port.startswith("127.0.0.1:")] == []
    version = described["image"].rpartition(":")[2]
    assert re.fullmatch(r"v?\d+(\.\d+)+", version) or described["image"] == "fairmind:latest"


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_mounts_is_there(service: str) -> None:
    for volume in SERVICES[service].get("volumes", []):
        source = volume.split(":")[0]
        assert source in COMPOSE["volumes"] or (ROOT / "deploy" / source).exists(), volume
    for secret in SERVICES[service].get("secrets", []):
        assert secret in COMPOSE["secrets"]
    assert set(SERVICES[service].get("depends_on", {})) <= set(SERVICES)


def test_no_secret_stands_in_the_file() -> None:
    words = [
        value
        for service in SERVICES.values()
        for name, value in service.get("environment", {}).items()
        if "PASSWORD" in name or "KEY" in name or "@" in value
    ]
    assert words
    assert [value for value in words if "${" not in value] == []


def test_prometheus_and_grafana_ask_the_services_by_their_names() -> None:
    prometheus = yaml.safe_load((ROOT / "monitoring" / "prometheus.yml").read_text(encoding="utf-8"))
    targets = [
        *prometheus["scrape_configs"][0]["static_configs"][0]["targets"],
        *prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"],
    ]
    source = yaml.safe_load(
        (ROOT / "monitoring" / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text(
            encoding="utf-8"
        )
    )
    targets.append(source["datasources"][0]["url"].removeprefix("http://"))
    assert {target.split(":")[0] for target in targets} == {"fairmind", "alertmanager", "prometheus"}
    key = prometheus["scrape_configs"][0]["authorization"]["credentials_file"]
    assert Path(key).name in COMPOSE["secrets"]


def test_the_settings_of_the_service_are_ones_that_it_has() -> None:
    described = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    names = [name for name in SERVICES["fairmind"]["environment"] if name.startswith("FAIRMIND_")]
    assert [name for name in names if f"`{name}`" not in described] == []


def addresses(content: Any) -> Iterator[str]:
    """Return every address that a part of Envoy's configuration names."""
    for value in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        if isinstance(value, dict) and "socket_address" in value:
            yield value["socket_address"]["address"]
        yield from addresses(value)


def test_the_proxy_listens_on_loopback_waits_longer_than_replicas_do_and_gives_connections_up_earlier() -> None:
    proxy = yaml.safe_load((ROOT / "deploy" / "envoy.yaml").read_text(encoding="utf-8"))
    assert set(addresses(proxy)) == {"127.0.0.1"}
    settings = ServingSettings.model_fields
    for listener in proxy["static_resources"]["listeners"]:
        (host,) = listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
        waits = [float(one["route"]["timeout"].rstrip("s")) for one in host["routes"] if "route" in one]
        assert min(waits) > settings["timeout_seconds"].default
    for cluster in proxy["static_resources"]["clusters"]:
        (options,) = cluster["typed_extension_protocol_options"].values()
        idle = float(options["common_http_protocol_options"]["idle_timeout"].rstrip("s"))
        assert idle < settings["keep_alive_seconds"].default
