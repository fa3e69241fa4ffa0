"""The door to MLflow: its noise off, its telemetry off, its errors in our words."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from registry.store import bound_requests, quiet_mlflow
from training.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Longer than the registry's: a model's files go through the same requests.
_REQUEST_SECONDS = 60.0
_CREDENTIALS = re.compile(r"//[^/\s]*@")


def mlflow_client(tracking_uri: str, registry_uri: str | None) -> MlflowClient:
    """Return a client of its own for these addresses; MLflow's global addresses are neither read nor set."""
    quiet_mlflow()
    # With a server it prints links to standard output, in the middle of what a script reads as JSON.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    bound_requests(_REQUEST_SECONDS)
    from mlflow import MlflowClient

    quiet_mlflow()  # again: importing MLflow sets its loggers up
    # It warns that pip is not installed, which no environment made by uv has.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    with vendor_calls(tracking_uri):
        return MlflowClient(tracking_uri, registry_uri or tracking_uri)


@contextmanager
def vendor_calls(address: str) -> Iterator[None]:
    """Run calls of MLflow without its warnings, which are about its own code, and translate what it raises.

    Raises:
        TrackingError: the store refuses or cannot be reached.
    """
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MlflowException as error:
        raise TrackingError(without_password(address), _first_line(error)) from error
    except (RequestException, SQLAlchemyError, OSError) as error:
        raise TrackingError(without_password(address), type(error).__name__) from error


def without_password(address: str) -> str:
    """Return the address without the user and password that it may hold."""
    parts = urlsplit(address)
    if "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    if lines[0].startswith("API request to"):
        return "it does not answer"  # MLflow goes on with the whole address and what the HTTP library said
    return _CREDENTIALS.sub("//", lines[0])[:300]
