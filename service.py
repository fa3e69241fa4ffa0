"""The front door: two services, and the APIs that BentoML's schema, docs and clients know. `bentoml serve .`"""

from __future__ import annotations

from typing import Any, cast

import bentoml

from bentos import telemetry
from bentos.configuration import settings_or_exit
from bentos.forwarding import COMPANION_SERVICE
from bentos.messages import BiasTestAnswer, BiasTestQuestion, Instance, PredictAnswer, answered_before
from bentos.ports import grpc_port_or_exit
from bentos.processes import FRONT_SERVICE, WORKER_ENVIRONMENT, CompanionService, FrontDoorService
from bentos.tls import http_options, tls_or_exit

telemetry.switch_off()
settings = settings_or_exit().serving


@bentoml.service(service_class=CompanionService, name=COMPANION_SERVICE, workers=1)
class FairMindCompanion:
    """Follows the registry, ships the prediction log, answers the control API; never on the hot path."""


@bentoml.service(
    service_class=FrontDoorService,
    name=FRONT_SERVICE,
    workers=settings.workers,
    http={"host": settings.host, "port": settings.port},
    ssl=http_options(settings),
    metrics={"enabled": False},
    envs=WORKER_ENVIRONMENT,
)
class FairMind:
    """Predictions over one adaptive batch queue, and bias tests of what is served."""

    companion = bentoml.depends(FairMindCompanion)

    @bentoml.on_deployment
    @staticmethod
    def check_start() -> None:
        """Refuse to start where everybody could reach it and nobody has a key, on another server's gRPC port, or
        with a certificate that is none.

        Asked once, before any process.
        """
        from bentos.exposure import safe_or_exit

        safe_or_exit()
        grpc_port_or_exit(settings)
        tls_or_exit(settings)

    @bentoml.api
    async def predict(self, instances: list[Instance], model: str | None = None) -> PredictAnswer:
        """Predict rows; each unit is answered by the variant it is assigned to."""
        answered_before()

    @bentoml.api(input_spec=cast("Any", BiasTestQuestion))  # it makes what it wants of any model of pydantic's
    async def bias_test(self, **question: Any) -> BiasTestAnswer:
        """Test a version for bias: on rows sent along, a data set or a window of live traffic."""
        answered_before()
