import importlib.metadata
from collections import Counter

import pytest

from loadtests.bench.contenders import OWN_PEERS
from loadtests.bench.environments import PEERS, pinned_versions
from loadtests.bench.installed_peers import INSTALLED_PEERS
from loadtests.bench.machine import PEER_LIBRARIES
from loadtests.bench.models import CLASSES
from loadtests.bench.scenarios.throughput import TARGETS

ENVIRONMENTS = sorted({peer.environment for peer in INSTALLED_PEERS})


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_peers_environment_is_pinned_to_the_last_package(environment: str) -> None:
    lines = (PEERS / environment / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(pinned_versions(environment)) > 20


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_peer_loads_the_pipeline_with_the_library_that_made_it(environment: str) -> None:
    assert pinned_versions(environment)["scikit-learn"] == importlib.metadata.version("scikit-learn")


def test_every_peers_environment_is_described_on_the_page() -> None:
    assert sorted(PEER_LIBRARIES) == ENVIRONMENTS


def test_every_target_of_throughput_names_a_class_and_a_peer_that_are_measured() -> None:
    peers = {peer.name for peer in INSTALLED_PEERS} | set(OWN_PEERS)
    assert set(TARGETS) == {model.name for model in CLASSES}
    assert {name for targets in TARGETS.values() for name in targets} <= peers


def test_no_two_peers_share_a_name() -> None:
    assert Counter(peer.name for peer in INSTALLED_PEERS).most_common(1)[0][1] == 1
