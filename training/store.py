"""Where runs and versions are kept: an MLflow tracking store, and runs in it."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import TrackingError
from training.vendor import mlflow_client, vendor_calls, without_password

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

# MLflow's limit for the text of a parameter or a run's tag; longer ones are cut, they are in the config artifact.
_LONGEST = 5_000
# Its limits for the name of a metric, and for the metrics of one call.
_LONGEST_METRIC = 250
_MOST_METRICS = 1_000


@dataclass(frozen=True, slots=True)
class TrackingStore:
    """An MLflow tracking store.

    `artifact_root` is for the embedded store, whose files are in a local folder; a server says itself where its
    files are. `registry_uri` is set where the registry is another server.
    """

    tracking_uri: str
    registry_uri: str | None = None
    experiment: str = "fairmind"
    artifact_root: Path | None = None

    @contextmanager
    def run(self, name: str, *, params: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[Run]:
        """Open a run, and close it as finished, or as failed when the body raises.

        Raises:
            TrackingError: the store refuses or cannot be reached.
        """
        client = mlflow_client(self.tracking_uri, self.registry_uri)
        with vendor_calls(self.tracking_uri):
            experiment_id = self._experiment_id(client)
            texts = {key: str(value)[:_LONGEST] for key, value in tags.items()}
            run_id = client.create_run(experiment_id, run_name=name, tags=texts).info.run_id
        run = Run(client, self.tracking_uri, experiment_id, run_id)
        try:
            run.log_params(params)
            yield run
        except BaseException:
            # The first error is the one to report, even when the store is what failed.
            with suppress(TrackingError):
                run.close("FAILED")
            raise
        run.close("FINISHED")

    def _experiment_id(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            root = self.artifact_root.absolute().as_uri() if self.artifact_root else None
            return self._create(client, root)
        if found.lifecycle_stage != "active":
            address = without_password(self.tracking_uri)
            raise TrackingError(address, f"its experiment '{self.experiment}' was deleted; restore it in MLflow")
        return str(found.experiment_id)

    def _create(self, client: MlflowClient, root: str | None) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return str(client.create_experiment(self.experiment, artifact_location=root))
        except MlflowException:
            # Another training made it between our look and our call.
            found = client.get_experiment_by_name(self.experiment)
            if found is None:
                raise
            return str(found.experiment_id)


class Run:
    """One open run."""

    def __init__(self, client: MlflowClient, address: str, experiment_id: str, run_id: str) -> None:
        self.client, self.address = client, address
        self.experiment_id, self.run_id = experiment_id, run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; texts as they are, other values as JSON."""
        from mlflow.entities import Param

        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
        entities = [Param(key, value[:_LONGEST]) for key, value in texts.items()]
        with vendor_calls(self.address):
            self.client.log_batch(self.run_id, params=entities)

    def log_metrics(self, numbers: Mapping[str, float]) -> None:
        """Log numbers, at step 0, however many; see `metric_names` for what they are called."""
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        now, values = get_current_time_millis(), list(numbers.values())
        entities = [
            Metric(name, float(value), now, 0) for name, value in zip(metric_names(numbers), values, strict=True)
        ]
        with vendor_calls(self.address):
            for start in range(0, len(entities), _MOST_METRICS):
                self.client.log_batch(self.run_id, metrics=entities[start : start + _MOST_METRICS])

    def log_text(self, text: str, name: str) -> None:
        """Log a text as the artifact `name`."""
        with vendor_calls(self.address):
            self.client.log_text(self.run_id, text, name)

    def log_figure(self, figure: Figure, name: str) -> None:
        """Log a figure as the PNG artifact `name`."""
        with vendor_calls(self.address):
            self.client.log_figure(self.run_id, figure, name)

    def log_data(self, name: str, *, digest: str, source: str, rows: int, columns: int) -> None:
        """Log which data the run learned from, as MLflow's own data set entry."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        entry = Dataset(
            name=name,
            # MLflow takes at most 36 characters; the whole fingerprint is a tag of the run.
            digest=digest.removeprefix("sha256:")[:36],
            source_type="fairmind",
            source=json.dumps({"source": source}),
            profile=json.dumps({"num_rows": rows, "num_columns": columns}),
        )
        with vendor_calls(self.address):
            context = InputTag(key="mlflow.data.context", value="training")
            self.client.log_inputs(self.run_id, datasets=[DatasetInput(dataset=entry, tags=[context])])

    def close(self, status: str) -> None:
        """End the run as FINISHED or FAILED."""
        with vendor_calls(self.address):
            self.client.set_terminated(self.run_id, status)


def metric_names(names: Iterable[str]) -> list[str]:
    """Return the names under which MLflow takes metrics.

    Letters that it refuses become an underscore, what is too long is cut, and of names that would be the same after
    that ("<25" and ">25" are groups of an age) the later ones are numbered.
    """
    made: dict[str, None] = {}
    for name in names:
        allowed = "".join(letter if letter.isalnum() or letter in "_-. /" else "_" for letter in name)
        # To MLflow a name is a path: "a//b" and "../a" are refused.
        allowed = allowed if posixpath.normpath(allowed) == allowed else allowed.replace("/", "_")
        chosen, place = allowed[:_LONGEST_METRIC], 2
        while chosen in made:
            chosen, place = f"{allowed[: _LONGEST_METRIC - 6]}_{place}", place + 1
        made[chosen] = None
    return list(made)
