"""What commands work on: the home, the databases, the registry; opened when a command first asks for them."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from bentos.configuration import Settings
from bentos.stores import open_control, open_home, open_log, open_registry, open_tracking, tracking_uri
from database.home import Home
from registry.mlflow_registry import MlflowRegistry
from registry.store import prepare_embedded_store
from registry.wanted import WantedModels, parse_wanted
from tracking.mlops_integration import MlopsIntegration
from tracking.tracker import Tracker

if TYPE_CHECKING:
    from training.store import TrackingStore


@dataclass
class Context:
    """The deployment that the environment describes."""

    settings: Settings

    @cached_property
    def home(self) -> Home:
        """The folder of all local state."""
        return open_home(self.settings)

    @cached_property
    def control(self) -> Engine:
        """Serving state and rollouts."""
        return open_control(self.settings, self.home)

    @cached_property
    def log(self) -> Engine:
        """Predictions and outcomes."""
        return open_log(self.settings, self.home)

    @cached_property
    def registry(self) -> MlflowRegistry:
        """Model versions and aliases."""
        return open_registry(self.settings, self.home)

    @cached_property
    def wanted(self) -> WantedModels:
        """What of the registry is to serve."""
        return WantedModels(parse_wanted(self.settings.serving.models))

    @cached_property
    def tracking(self) -> TrackingStore:
        """Where runs are logged and versions registered; the embedded store is made on first use."""
        from training.store import TrackingStore

        registry = self.settings.registry
        if registry.tracking_uri is not None:
            return TrackingStore(registry.tracking_uri, registry.registry_uri)
        prepare_embedded_store(self.home.mlflow_db, self.home.artifacts)
        return TrackingStore(self.tracking_uri, registry.registry_uri, artifact_root=self.home.artifacts)

    @cached_property
    def tracker(self) -> Tracker:
        """What logs test results; whoever wants them sent from this process starts it."""
        return open_tracking(self.settings, self.home)

    @cached_property
    def mlops(self) -> MlopsIntegration:
        """FairMind's MLOps integration."""
        return MlopsIntegration(self.tracker, self.tracking_uri)

    @cached_property
    def tracking_uri(self) -> str:
        """Where runs are logged."""
        return tracking_uri(self.settings, self.home)

    @cached_property
    def actor(self) -> str:
        """Who is at the keyboard; kept with what they decide."""
        return getpass.getuser()


def open_context() -> Context:
    """Return the deployment that the environment describes.

    Raises:
        ConfigurationError: A setting is unknown or wrong.
    """
    return Context(Settings.load())
