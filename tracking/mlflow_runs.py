"""The door to MLflow, in the process that sends: one run per record, found again by the tag that names it."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from registry.settings import plain_address
from registry.store import quiet_mlflow
from tracking.errors import ProviderUnavailableError, RecordRefusedError, RunNotFoundError
from tracking.outbox import Receipt
from tracking.run_addresses import mlflow_run_url
from tracking.run_content import RunContent
from tracking.settings import Provider

DELIVERY_TAG: Final = "fairmind.delivery"
_LONGEST_PARAM, _LONGEST_TAG = 6_000, 8_000
_BATCH_METRICS, _BATCH_PARAMS = 1_000, 100
_MAYBE_LATER: Final = frozenset({401, 403, 404, 408, 409, 425, 429})
_CREDENTIALS = re.compile(r"//[^/\s@]*@")

T = TypeVar("T")


class MlflowRuns:
    """Runs in one experiment of one MLflow.

    Args:
        tracking_uri: A server or a database.
        experiment: Made where it is missing.
        artifact_root: Where files go, for the embedded store; a server knows by itself.
        ui: Where a browser finds MLflow, where that is not the server's own address.
        request_seconds: How long one request may take.
    """

    def __init__(
        self,
        *,
        tracking_uri: str,
        experiment: str,
        artifact_root: str | None,
        ui: str | None,
        request_seconds: float,
    ) -> None:
        quiet_mlflow()
        # MLflow reads these from the environment alone; this process is for nothing else.
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(max(1, int(request_seconds)))
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        from mlflow import MlflowClient

        quiet_mlflow()  # again: importing MLflow sets its loggers up
        warnings.simplefilter("ignore")
        self._uri, self._ui, self._experiment, self._root = tracking_uri, ui, experiment, artifact_root
        with self._translated():
            self._client = MlflowClient(tracking_uri, tracking_uri)

    def deliver(self, content: RunContent) -> Receipt:
        """Log a record as a run that is finished; one that was begun before is continued, not made again.

        Raises:
            ProviderUnavailableError: The server does not answer, or refuses everything.
            RecordRefusedError: It refuses this record.
        """
        with self._translated():
            experiment_id = self._experiment_id()
            run = self._begun(experiment_id, content) or self._begin(experiment_id, content)
            if run.info.status != "FINISHED":
                self._fill(run.info.run_id, content)
                self._client.set_terminated(run.info.run_id, "FINISHED")
        return Receipt(run.info.run_id, mlflow_run_url(self._uri, self._ui, experiment_id, run.info.run_id))

    def url(self, run_id: str) -> str:
        """Return the address of a run's page.

        Raises:
            RunNotFoundError: There is no such run, or no page.
            ProviderUnavailableError: The server does not answer.
        """
        with self._translated(missing="it has no such run"):
            found = self._client.get_run(run_id)
        address = mlflow_run_url(self._uri, self._ui, found.info.experiment_id, run_id)
        if address is None:
            reason = "runs in a database have no page; FAIRMIND_TRACKING_MLFLOW_UI says where MLflow's pages are"
            raise RunNotFoundError(Provider.MLFLOW, reason)
        return address

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            try:
                return str(self._client.create_experiment(self._experiment, artifact_location=self._root))
            except MlflowException:
                found = self._client.get_experiment_by_name(self._experiment)  # another was quicker
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            reason = f"its experiment '{self._experiment}' was deleted; restore it or set MLFLOW_EXPERIMENT_NAME"
            raise ProviderUnavailableError(Provider.MLFLOW, reason)
        return str(found.experiment_id)

    def _begun(self, experiment_id: str, content: RunContent) -> Any:
        """Return the run of this record, None where there is none.

        A request that was given up may have been carried out after the next one: of several the first is kept.
        """
        condition = f"tags.`{DELIVERY_TAG}` = '{content.delivery_id}'"
        runs = self._client.search_runs([experiment_id], condition)
        runs = sorted(runs, key=lambda run: (run.info.status != "FINISHED", run.info.start_time, run.info.run_id))
        for surplus in runs[1:]:
            self._client.delete_run(surplus.info.run_id)
        return runs[0] if runs else None

    def _begin(self, experiment_id: str, content: RunContent) -> Any:
        tags = {key: value[:_LONGEST_TAG] for key, value in content.tags.items()}
        made = self._client.create_run(
            experiment_id,
            start_time=int(content.created_at.timestamp() * 1000),
            tags={DELIVERY_TAG: content.delivery_id} | tags,
            run_name=content.name,
        )
        return self._begun(experiment_id, content) or made

    def _fill(self, run_id: str, content: RunContent) -> None:
        from mlflow.entities import Metric, Param

        # The time of the test, not of this attempt: what an earlier attempt has logged is then the same number.
        at = int(content.created_at.timestamp() * 1000)
        params = [Param(key, str(value)[:_LONGEST_PARAM]) for key, value in content.params.items()]
        for some in _in_parts(params, _BATCH_PARAMS):
            self._client.log_batch(run_id, params=some)
        metrics = [Metric(name, value, at, 0) for name, value in content.measurements.metrics.items()]
        for batch in _in_parts(metrics, _BATCH_METRICS):
            self._client.log_batch(run_id, metrics=batch)
        for name, text in content.files.items():
            self._client.log_text(run_id, text, name)

    @contextmanager
    def _translated(self, missing: str | None = None) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except MlflowException as error:
            status, reason = error.get_http_status_code(), self._reason(error)
            if missing is not None and status == 404:
                raise RunNotFoundError(Provider.MLFLOW, missing) from error
            if 400 <= status < 500 and status not in _MAYBE_LATER:
                raise RecordRefusedError(Provider.MLFLOW, reason) from error
            raise ProviderUnavailableError(Provider.MLFLOW, reason) from error
        except (RequestException, SQLAlchemyError, OSError) as error:
            reason = f"{plain_address(self._uri)} does not answer ({type(error).__name__})"
            raise ProviderUnavailableError(Provider.MLFLOW, reason) from error

    def _reason(self, error: Exception) -> str:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        if first.startswith("API request to") and "failed with exception" in first:
            return f"{plain_address(self._uri)} does not answer"
        return _CREDENTIALS.sub("//", first)[:300]


def _in_parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
