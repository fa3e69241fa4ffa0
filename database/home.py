"""The one folder that holds all local state."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def keep_files_private() -> None:
    """Make what this process and its children write readable by its owner only, wherever the home lies.

    For the entry points of processes: a home that somebody made before may be open to all, and what is in it
    (features, protected attributes, outcomes) is for nobody else's eyes.
    """
    os.umask(0o077)


@dataclass(frozen=True, slots=True)
class Home:
    """`FAIRMIND_HOME` and the names of what lies in it."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> Home:
        """Return the home at `root`, created when it is not there, readable by its owner only."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(root.resolve())

    @property
    def mlflow_db(self) -> Path:
        """The embedded MLflow tracking store and registry."""
        return self.root / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Run and model artifacts of the embedded store."""
        return self.root / "artifacts"

    @property
    def control_db(self) -> Path:
        """Serving state, rollouts, API keys, bias tests and what is known of data sets."""
        return self.root / "fairmind.db"

    @property
    def log_db(self) -> Path:
        """Predictions, protected attributes and outcomes."""
        return self.root / "predictions.db"

    @property
    def spool(self) -> Path:
        """Segments of the prediction log that are not in the database yet."""
        return self.root / "spool"

    @property
    def shipped(self) -> Path:
        """How far the segments in the spool are shipped, for workers, which ask no database."""
        return self.run / "shipped.json"

    @property
    def features(self) -> Path:
        """Features of logged predictions, as Parquet files."""
        return self.root / "features"

    @property
    def models(self) -> Path:
        """Last-known-good copies of model versions."""
        return self.root / "models"

    @property
    def environments(self) -> Path:
        """Environments made for versions that run with libraries of their own."""
        return self.root / "environments"

    @property
    def prepared(self) -> Path:
        """Foreign versions as a runner loads them."""
        return self.root / "prepared"

    @property
    def compiled(self) -> Path:
        """Compiled forms of foreign versions, by the digest of their files."""
        return self.root / "compiled"

    @property
    def data(self) -> Path:
        """Data sets fetched by data sources."""
        return self.root / "data"

    @property
    def datasets(self) -> Path:
        """Rows of uploaded data sets."""
        return self.root / "datasets"

    @property
    def tracking(self) -> Path:
        """Test results that wait for MLflow or Weights & Biases."""
        return self.root / "tracking"

    @property
    def run(self) -> Path:
        """Files of running processes: locks, the serving state workers follow, metrics."""
        return self.root / "run"

    @property
    def serving_state(self) -> Path:
        """What workers read to know which versions serve, and how traffic is split."""
        return self.run / "serving.json"

    @property
    def api_keys(self) -> Path:
        """What workers read to know which API keys there are; hashes only."""
        return self.run / "keys.json"
