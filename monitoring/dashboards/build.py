"""`python -m monitoring.dashboards.build FOLDER`: write each dashboard as the JSON that Grafana reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.dashboards.bias import bias
from monitoring.dashboards.drift import drift
from monitoring.dashboards.models import models
from monitoring.dashboards.rollouts import rollouts
from monitoring.dashboards.service import service

DASHBOARDS: Final[tuple[Callable[[], Dashboard], ...]] = (service, models, bias, drift, rollouts)

_INTERVALS_OWN: Final = ("auto", "auto_count", "auto_min")
"""What the SDK writes of every variable and Grafana's types know of none."""


def built(make: Callable[[], Dashboard]) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it, its panels numbered from 1."""
    whole: dict[str, Any] = json.loads(JSONEncoder().encode(make().build()))
    for number, panel in enumerate(whole["panels"], 1):
        panel["id"] = number
    for variable in whole["templating"]["list"]:
        for name in _INTERVALS_OWN:
            variable.pop(name, None)
    return whole


def main(folder: Path) -> None:
    """Write all dashboards, one file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for make in DASHBOARDS:
        text = json.dumps(built(make), indent=2, sort_keys=True, ensure_ascii=False)
        (folder / f"{make.__name__}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
