"""What leaves the process about itself: usage reports, off unless switched on, and spans, where somebody asks."""

from __future__ import annotations

import os
import sys
from typing import Final, cast

from bentos.wire import App

_SWITCHES: Final = {
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
}
_BENTOML: Final = "bentoml._internal.utils.analytics.usage_stats"


def switch_off() -> None:
    """Set each library's own switch, before the library reads it."""
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
    # BentoML's command line asks once, before it imports our service, and keeps the answer. Found among the modules
    # and not imported: where BentoML has not been imported yet, it will read the switch by itself.
    forget = getattr(getattr(sys.modules.get(_BENTOML), "do_not_track", None), "cache_clear", None)
    if callable(forget):
        forget()


def traced(app: App) -> App:
    """Return the application with an OpenTelemetry span around each request, exported as BentoML's tracing says."""
    from bentoml._internal.configuration.containers import BentoMLContainer
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    return cast("App", OpenTelemetryMiddleware(app, tracer_provider=BentoMLContainer.tracer_provider.get()))
