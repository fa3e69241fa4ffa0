"""Where a browser finds a run."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from registry.settings import plain_address

RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""What a run id of either provider looks like."""


def mlflow_run_url(tracking_uri: str, ui: str | None, experiment_id: str, run_id: str) -> str | None:
    """Return the address of a run's page, None where no browser reaches it: a database has no pages.

    >>> mlflow_run_url("https://ada:secret@mlflow.example/prefix/", None, "7", "abc")
    'https://mlflow.example/prefix/#/experiments/7/runs/abc'
    >>> mlflow_run_url("sqlite:///mlflow.db", None, "7", "abc") is None
    True
    >>> mlflow_run_url("sqlite:///mlflow.db", "http://localhost:5000", "7", "abc")
    'http://localhost:5000/#/experiments/7/runs/abc'
    """
    base = plain_address(ui or tracking_uri)
    if urlsplit(base).scheme not in {"http", "https"}:
        return None
    return f"{base}/#/experiments/{quote(experiment_id, safe='')}/runs/{quote(run_id, safe='')}"


def wandb_run_url(base_url: str, entity: str, project: str, run_id: str) -> str:
    """Return the address of a run's page on the cloud or on a server of one's own.

    >>> wandb_run_url("https://api.wandb.ai", "my team", "fairness", "abc")
    'https://wandb.ai/my%20team/fairness/runs/abc'
    >>> wandb_run_url("http://127.0.0.1:8080/", "ada", "fairness", "abc")
    'http://127.0.0.1:8080/ada/fairness/runs/abc'
    """
    base = plain_address(base_url)
    if "://api.wandb." in base:
        base = base.replace("://api.", "://")
    elif "://api." in base:  # a dedicated cloud
        base = base.replace("://api.", "://app.")
    return f"{base}/{quote(entity, safe='')}/{quote(project, safe='')}/runs/{quote(run_id, safe='')}"
