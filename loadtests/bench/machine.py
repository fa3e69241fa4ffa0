"""What a figure was measured on: the machine and the versions that matter."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import psutil

from loadtests.bench.environments import pinned_versions

LIBRARIES = (
    "bentoml",
    "fastapi",
    "httptools",
    "numpy",
    "onnxruntime",
    "orjson",
    "pandas",
    "pydantic",
    "scikit-learn",
    "starlette",
    "treelite",
    "uvicorn",
    "uvloop",
)


PEER_LIBRARIES = {
    "mlflow-serve": "mlflow",
    "mlserver": "mlserver",
    "litserve": "litserve",
    "ray-serve": "ray",
    "bentoml-plain": "bentoml",
}


def describe_machine() -> dict[str, str]:
    """Return facts about this machine that a reader needs to judge a figure."""
    return {
        "processor": _processor(),
        "cores usable": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def describe_libraries(*, with_peers: bool) -> dict[str, str]:
    """Return the versions of the libraries on the measured paths, and what the peers' own environments hold."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    if with_peers:
        for environment, shown in PEER_LIBRARIES.items():
            held = pinned_versions(environment)
            facts = ", ".join(f"{name} {held[name]}" for name in (shown, "scikit-learn", "pandas"))
            versions[f"peer {environment}"] = facts
    return versions


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
