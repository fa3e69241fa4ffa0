"""Say what a home serves: `python serve_versions.py HOME NAME/VERSION… [--copies N]`.

The versions named become champions, all other aliases are taken away. `--copies N` registers the first version's
files N times under other names and makes those champions too. Run in the project's own environment, as a process:
load tests themselves know the service by its network only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mlflow import MlflowClient


def main() -> None:
    """Read the arguments and move aliases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("versions", nargs="+", metavar="NAME/VERSION")
    parser.add_argument("--copies", type=int, default=0)
    options = parser.parse_args()
    client = MlflowClient(f"sqlite:///{options.home.absolute() / 'mlflow.db'}")
    wanted = [(name, version) for name, _, version in (text.rpartition("/") for text in options.versions)]
    for registered in client.search_registered_models(max_results=1000):
        for alias in registered.aliases:
            client.delete_registered_model_alias(registered.name, alias)
    original = client.get_model_version(*wanted[0])
    for number in range(options.copies):
        name = f"{original.name}-copy-{number:03d}"
        client.create_registered_model(name)
        copy = client.create_model_version(
            name, source=original.source, run_id=original.run_id, tags=dict(original.tags)
        )
        wanted.append((name, copy.version))
    for name, version in wanted:
        client.set_registered_model_alias(name, "champion", version)


if __name__ == "__main__":
    main()
