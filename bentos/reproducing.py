"""Puts together what makes logged decisions again, for the command and for the API."""

from __future__ import annotations

from sqlalchemy import Engine

from bentos.configuration import Settings
from bentos.opened_versions import version_opener
from bentos.stores import open_features
from database.home import Home
from registry.model_cache import ModelCache
from registry.registry import Registry
from replay.reproduction import Reproducer


def open_reproducer(
    settings: Settings, home: Home, *, control: Engine, log: Engine, registry: Registry, prepares: bool
) -> Reproducer:
    """Return what makes the decisions of a deployment again.

    Args:
        settings: The deployment's.
        home: Where its copies of versions are, and its spool.
        control: Serving state and rollouts.
        log: Predictions and outcomes.
        registry: Where versions that are not here are fetched from.
        prepares: Whether a version of another's is prepared where it is not yet; that may take minutes.
    """
    return Reproducer(
        control=control,
        log=log,
        store=open_features(settings, home),
        spool=home.spool,
        cache=ModelCache(home.models),
        registry=registry,
        opened=version_opener(settings, home, prepares=prepares),
    )
