"""Usage reports of the libraries we stand on, switched off unless the user switched them on."""

from __future__ import annotations

import os
from typing import Final

_SWITCHES: Final = {
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
}


def switch_off() -> None:
    """Set each library's own switch, before the library reads it."""
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
