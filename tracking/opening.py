"""Puts a tracker together from settings: which processes send, and what they are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from database.home import Home
from registry.store import embedded_tracking_uri
from tracking.delivery import Delivered, DeliveryObserver
from tracking.outbox import Outbox
from tracking.sender import SenderProcess
from tracking.settings import Provider, TrackingSettings
from tracking.tracker import Tracker


def open_tracker(
    settings: TrackingSettings,
    home: Home,
    tracking_uri: str | None,
    *,
    observer: DeliveryObserver | None = None,
    on_delivered: Callable[[Delivered], None] | None = None,
) -> Tracker:
    """Return the tracker of a home; nothing is started, imported or made before there is something to send.

    `tracking_uri` is MLflow's address, None for the embedded store of the home.
    """
    outbox = Outbox(home.tracking, max_waiting=settings.max_waiting, max_bytes=settings.max_waiting_bytes)
    senders = {
        provider: _sender(provider, settings, home, tracking_uri, outbox)
        for provider in settings.provider.providers
    }
    return Tracker(settings, outbox, senders, observer=observer, on_delivered=on_delivered)


def _sender(
    provider: Provider, settings: TrackingSettings, home: Home, tracking_uri: str | None, outbox: Outbox
) -> SenderProcess:
    # A single request ends before the whole is given up, so that the reason can be told.
    seconds = settings.timeout_seconds / 2
    if provider is Provider.WANDB:
        key = settings.wandb_api_key
        options: dict[str, Any] = {
            "project": settings.wandb_project,
            "entity": settings.wandb_entity,
            "base_url": settings.wandb_base_url,
            "folder": str(outbox.folder("wandb")),
            "request_seconds": seconds,
        }
        return SenderProcess(provider, options, {} if key is None else {"WANDB_API_KEY": key.get_secret_value()})
    options = {
        "tracking_uri": tracking_uri or embedded_tracking_uri(home.mlflow_db),
        "experiment": settings.experiment_name,
        "artifact_root": None if tracking_uri else home.artifacts.as_uri(),
        "embedded": None if tracking_uri else [str(home.mlflow_db), str(home.artifacts)],
        "ui": settings.mlflow_ui,
        "request_seconds": seconds,
    }
    return SenderProcess(provider, options, {})
