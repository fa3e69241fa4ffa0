"""Puts together what makes logged decisions again, for the command and for the API."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Engine

from bentos.configuration import Settings
from bentos.opened_versions import version_opener
from bentos.stores import open_features
from database.home import Home
from registry.model_cache import ModelCache
from registry.registry import Registry
from replay.reproduction import Reproducer


class Deployment(Protocol):
    """What of a deployment it takes: the Companion has it, and so has the context of a command."""

    @property
    def settings(self) -> Settings:
        """All of them."""
        ...

    @property
    def home(self) -> Home:
        """Where copies of versions are, and the spool."""
        ...

    @property
    def control(self) -> Engine:
        """Serving state and rollouts."""
        ...

    @property
    def log(self) -> Engine:
        """Predictions and outcomes."""
        ...

    @property
    def registry(self) -> Registry:
        """Where versions that are not here are fetched from."""
        ...


def open_reproducer(deployment: Deployment, *, prepares: bool) -> Reproducer:
    """Return what makes the decisions of a deployment again.

    `prepares` says whether a version of another's is prepared where it is not yet, which may take minutes.
    """
    settings, home = deployment.settings, deployment.home
    return Reproducer(
        control=deployment.control,
        log=deployment.log,
        store=open_features(settings, home),
        spool=home.spool,
        cache=ModelCache(home.models),
        registry=deployment.registry,
        opened=version_opener(settings, home, prepares=prepares),
    )
