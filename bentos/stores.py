"""Opens what is kept: the databases, migrated, and the registry. Not for serving workers, which need neither."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine

from bentos.configuration import Settings
from database.engine import server_engine, sqlite_engine
from database.home import Home
from database.migrate import upgrade
from monitoring.feature_store import FeatureStore
from registry.mlflow_registry import MlflowRegistry
from registry.store import embedded_tracking_uri, prepare_embedded_store, quiet_mlflow
from runners.preparation import Preparer
from tracking.delivery import Delivered, DeliveryObserver
from tracking.opening import open_tracker
from tracking.tracker import Tracker


def open_home(settings: Settings) -> Home:
    """Return the folder of all local state, made when it is not there."""
    return Home.at(settings.database.home)


def open_control(settings: Settings, home: Home) -> Engine:
    """Return the database of serving state and rollouts, its tables current."""
    url = settings.database.url
    engine = sqlite_engine(home.control_db) if url is None else server_engine(url.get_secret_value(), "control")
    upgrade(engine, "control", home.run / "migrate.lock")
    return engine


def open_log(settings: Settings, home: Home) -> Engine:
    """Return the database of predictions and outcomes, its tables current."""
    url = settings.database.url
    engine = sqlite_engine(home.log_db) if url is None else server_engine(url.get_secret_value(), "log")
    upgrade(engine, "log", home.run / "migrate.lock")
    return engine


def open_features(settings: Settings, home: Home) -> FeatureStore:
    """Return the feature store: a folder of the home, unless settings name another place."""
    uri = settings.monitoring.features_uri
    return FeatureStore(home.features if uri is None else uri)


def open_registry(settings: Settings, home: Home) -> MlflowRegistry:
    """Return the registry: the embedded store, made on first use, unless settings name a server."""
    quiet_mlflow()
    if settings.registry.tracking_uri is None:
        prepare_embedded_store(home.mlflow_db, home.artifacts)
    return MlflowRegistry(
        tracking_uri(settings, home),
        settings.registry.registry_uri,
        timeout_seconds=settings.registry.timeout_seconds,
        artifact_root=home.artifacts if settings.registry.tracking_uri is None else None,
    )


def open_preparer(settings: Settings, home: Home) -> Preparer:
    """Return what makes foreign versions of the registry ready to be served."""
    registry = settings.registry
    address = registry.address or "of this deployment"
    return Preparer(home.environments, address, registry.is_trusted, settings.runners)


def open_tracking(
    settings: Settings,
    home: Home,
    observer: DeliveryObserver | None = None,
    on_delivered: Callable[[Delivered], None] | None = None,
) -> Tracker:
    """Return what logs test results where the settings say; it delivers once it is started."""
    uri = settings.registry.tracking_uri
    return open_tracker(settings.tracking, home, uri, observer=observer, on_delivered=on_delivered)


def tracking_uri(settings: Settings, home: Home) -> str:
    """Return where runs are logged: the embedded store unless settings name a server."""
    return settings.registry.tracking_uri or embedded_tracking_uri(home.mlflow_db)
