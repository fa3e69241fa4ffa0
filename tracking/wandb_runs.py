"""The door to Weights & Biases, in the process that sends: one run per record, under the record's own id."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from tracking.errors import ProviderUnavailableError, RecordRefusedError, RunNotFoundError
from tracking.outbox import Receipt
from tracking.run_addresses import wandb_run_url
from tracking.run_content import RunContent
from tracking.settings import Provider

_LONGEST_LABEL: Final = 64
_LONGEST_NAME: Final = 128
_SET: Final = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false", "WANDB_CONSOLE": "off"}
_MARK: Final = "fairmind_delivery"
_HIDDEN: Final = "WANDB_API_KEY"


class WandbRuns:
    """Runs in one project.

    Where `WANDB_MODE` is `offline`, runs are written under `folder`, for `wandb sync`, and have no address.

    Args:
        project: Made where it is missing.
        entity: User or team; None leaves it to the key's owner.
        base_url: The server.
        folder: Where the SDK keeps its files while it sends.
        request_seconds: How long beginning or ending a run may take.
    """

    def __init__(
        self, *, project: str, entity: str | None, base_url: str, folder: str, request_seconds: float
    ) -> None:
        os.environ.update(_SET)
        self._folder = Path(folder)
        self._mode = os.environ.get("WANDB_MODE", "online")
        for left in self._folder.glob("run-*"):
            if not _is_alive(left.name.removeprefix("run-")):
                shutil.rmtree(left, ignore_errors=True)
        # What a run that is sent leaves behind is of no use; of one that is not, `wandb sync` needs the files.
        self._own = self._folder / ("offline" if self._mode == "offline" else f"run-{os.getpid()}")
        self._own.mkdir(parents=True, exist_ok=True)
        # The SDK would keep staged files in the home of the user.
        for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR"):
            os.environ[name] = str(self._own)
        import wandb

        logging.getLogger("wandb").setLevel(logging.ERROR)
        self._wandb = wandb
        self._project, self._entity, self._base_url = project, entity, base_url
        self._seconds = request_seconds

    def deliver(self, content: RunContent) -> Receipt:
        """Log a record as a run that is finished; one that was begun before is continued under the same id.

        Raises:
            ProviderUnavailableError: The server does not answer, or refuses the key.
            RecordRefusedError: It refuses this record.
        """
        if self._mode not in {"online", "offline"}:
            reason = f"WANDB_MODE={self._mode} sends nothing; unset it, or set MLOPS_PROVIDER=none"
            raise ProviderUnavailableError(Provider.WANDB, reason)
        offline = self._mode == "offline"
        folder = self._own if offline else Path(tempfile.mkdtemp(dir=self._own))
        for begun in folder.glob(f"wandb/offline-run-*-{content.delivery_id}"):
            shutil.rmtree(begun, ignore_errors=True)
        try:
            return self._deliver(content, folder, offline=offline)
        except (self._wandb.Error, TimeoutError, OSError) as error:
            raise ProviderUnavailableError(Provider.WANDB, self._reason(error)) from error
        except ValueError as error:
            raise RecordRefusedError(Provider.WANDB, self._reason(error)) from error
        finally:
            if not offline:
                shutil.rmtree(folder, ignore_errors=True)

    def url(self, run_id: str) -> str:
        """Return the address of a run's page, where no entity is configured: that of the key's owner.

        Raises:
            RunNotFoundError: Nobody can say whose run it is.
            ProviderUnavailableError: The server does not answer.
        """
        try:
            api = self._wandb.Api(timeout=max(1, int(self._seconds)))
            entity = self._entity or api.default_entity
        except Exception as error:  # its API lets errors of the HTTP library through
            raise ProviderUnavailableError(Provider.WANDB, self._reason(error)) from error
        if not entity:
            raise RunNotFoundError(Provider.WANDB, "set WANDB_ENTITY: the key's owner has no default entity")
        return wandb_run_url(self._base_url, entity, self._project, run_id)

    def _deliver(self, content: RunContent, folder: Path, *, offline: bool) -> Receipt:
        run = self._wandb.init(
            project=self._project,
            entity=self._entity,
            id=content.delivery_id,
            name=content.name[:_LONGEST_NAME],
            job_type=content.tags["test_type"],
            config=dict(content.params),
            tags=[label for text in dict.fromkeys(content.labels) if (label := text[:_LONGEST_LABEL].strip())],
            resume=None if offline else "allow",
            dir=str(folder),
            settings=self._settings(),
        )
        if run.disabled:
            raise ProviderUnavailableError(Provider.WANDB, "the environment switches it off (WANDB_DISABLED?)")
        # The numbers are there once where the server says that the run has begun, as the vendor's does: either its
        # summary has the mark, or, where that lags behind the rows, the SDK drops what is logged for a step that is
        # over. A server that says it of no run gets them again.
        known: Any = run.summary  # which the SDK leaves untyped
        if not (run.resumed and known.get(_MARK) == content.delivery_id):
            run.log(dict(content.measurements.metrics), step=0)
        # Files again in any case, for the mark may have left before them: equal ones are one version there.
        artifact = self._wandb.Artifact(f"bias-test-{content.delivery_id}", type="bias_test")
        for name, text in content.files.items():
            with artifact.new_file(name, encoding="utf-8") as file:
                file.write(text)
        run.log_artifact(artifact)
        # With the numbers, which the SDK puts there only for a row that it keeps.
        run.summary.update({**content.measurements.metrics, **_summary(content), _MARK: content.delivery_id})
        url = None if offline else run.url
        run.finish(exit_code=0)
        return Receipt(content.delivery_id, url)

    def _settings(self) -> Any:
        return self._wandb.Settings(
            base_url=self._base_url,
            init_timeout=self._seconds,
            finish_timeout=self._seconds,
            finish_timeout_raises=True,
            # Nothing of this machine is anybody's business: neither its name, nor its packages, nor its load.
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            host="fairmind",
            disable_git=True,
            disable_code=True,
            silent=True,
            console="off",
        )

    def _reason(self, error: BaseException) -> str:
        text = " ".join((str(error) or type(error).__name__).split())
        key = os.environ.get(_HIDDEN)
        if key:
            text = text.replace(key, "***")
        if isinstance(error, TimeoutError) or "timed out" in text:
            text = f"{self._base_url} does not answer ({text})"
        return text[:300]


def _is_alive(pid: str) -> bool:
    return pid.isdecimal() and Path(f"/proc/{pid}").exists()


def _summary(content: RunContent) -> dict[str, Any]:
    """Return what the run says of itself at a glance; the number of what is left out too."""
    told: dict[str, Any] = dict(content.summary)
    for name in ("metrics_not_finite", "metrics_left_out"):
        if name in content.tags:
            told[name] = content.tags[name]
    return told
