"""Takes bias tests, at once or as tasks, and keeps what they find."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from assessment import store, task_queue
from assessment.data_sets import DataSets
from assessment.fairmind import DetectRequest, LlmRecord, findings_of, record_of, response
from assessment.result import BiasTestResult
from assessment.store import Asked
from assessment.stored import StoredTest
from assessment.task_queue import Task
from assessment.tracked import tracked
from bentos.bias_test_bodies import AnyRequest, TableTestRequest, check_text, parse
from bentos.bias_tests import BiasTests
from bentos.companion import Companion
from bentos.errors import UnsupportedError, describe
from monitoring.identifiers import new_request_id
from tracking.record import BiasTestRecord, BiasTestType

_log = logging.getLogger(__name__)
_TOLD_SECONDS: Final = 0.5
"""How often a running test writes how far it is."""
_LOST_AFTER: Final = timedelta(minutes=10)
"""A test of another Companion's, on a shared database, is taken over when it was not heard of for so long."""
_RECOVERY_SECONDS: Final = 60.0
_MEASURING: Final = 0.05
"""The share of a task that is left when all its rows are scored."""


class BiasTestService:
    """One per Companion; `work` is to be called over and over by one thread."""

    def __init__(self, companion: Companion) -> None:
        self._control = companion.control
        self._is_alone = companion.settings.database.url is None
        self._limits = companion.settings.assessment
        self.data_sets = DataSets(companion.control, companion.home.datasets, self._limits.dataset_rows)
        self._tests = BiasTests(companion, self.data_sets)
        self._tracker = companion.tracker
        self._recovered_at: float | None = None

    def ask(self, body: dict[str, Any], *, user_id: str) -> BiasTestResult | StoredTest:
        """Return the result of the test that `body` asks for; of a task, that it waits.

        Raises:
            InvalidRequestError: A field is missing, unknown or of another type; says which.
            AssessmentError: The rows cannot be tested; `TaskQueueFullError` where too many tasks wait.
            ModelNotServedError: The model or version is not there.
            NotReadyError: The version has to be prepared first, which was begun; or it cannot be: says why.
        """
        request, as_task = parse(body)
        rows = self._tests.rows(request)
        if as_task or (rows is not None and rows > self._limits.task_rows):
            return self._queue(body, request, user_id)
        result = self._tests.run(request)
        check_text(result)
        self._keep(result, record_of(result), self._asked(request, result, user_id))
        return result

    def detect(self, request: DetectRequest, *, user_id: str) -> dict[str, Any]:
        """Return what FairMind's `bias-v2/detect` answers, and keep it.

        Raises:
            AssessmentError: There is no such data set or column, or it cannot be tested.
        """
        result = self._tests.detect(request, test_id=f"ml-test-{new_request_id()}", now=datetime.now(UTC))
        check_text(result)
        record = record_of(result, request.metrics)
        details = request.model_dump(mode="json", exclude={"model_id", "dataset_id", "metrics"})
        details["metrics_requested"] = list(request.metrics)
        self._keep(result, record, Asked(user_id, dataset_id=result.dataset, details=details))
        return record

    def keep_llm(self, request: LlmRecord, *, user_id: str) -> dict[str, Any]:
        """Keep a test of a language model that was measured elsewhere, and return it as `bias-v2/detect-llm` does.

        Raises:
            UnsupportedError: It brings no results; nothing here measures texts.
        """
        if not request.results:
            raise UnsupportedError(
                "nothing here measures texts; send what was measured elsewhere as `results`, an object of metrics "
                "with score, passed, disparity, group_scores, interpretation and recommendations"
            )
        check_text(request)
        now = datetime.now(UTC)
        test_id = f"llm-test-{new_request_id()}"
        results = {name: found.model_dump(mode="json") for name, found in request.results.items()}
        record = response(test_id, request.model_id, now.isoformat(), results)
        store.keep_record(
            self._control,
            test_id,
            model_id=request.model_id,
            asked=Asked(
                user_id,
                BiasTestType.LLM_BIAS,
                request.dataset_id,
                request.model_dump(mode="json", include={"prompt_column", "response_column", "metrics"}),
            ),
            record=record,
            findings=findings_of(results),
            now=now,
        )
        self._tracker.submit(
            BiasTestRecord(
                id=test_id,
                user_id=user_id,
                model_id=request.model_id,
                dataset_id=request.dataset_id,
                test_type=BiasTestType.LLM_BIAS,
                results=record,
                created_at=now,
            )
        )
        return record

    def work(self) -> None:
        """Run the tasks that wait, one after the other; return when none does."""
        self._recover()
        while (task := task_queue.take(self._control, datetime.now(UTC))) is not None:
            self._run(task)

    def _recover(self) -> None:
        """Let tests wait again whose process ended: once, or every minute where others share the database.

        Nobody else works on this home: what seems to run when the first look is taken was left by who did before.
        """
        elapsed = None if self._recovered_at is None else time.monotonic() - self._recovered_at
        if elapsed is not None and (self._is_alone or elapsed < _RECOVERY_SECONDS):
            return
        now = datetime.now(UTC)
        since = now if self._is_alone else now - _LOST_AFTER
        task_queue.recover(self._control, untouched_since=since, now=now)
        self._recovered_at = time.monotonic()

    def _queue(self, body: dict[str, Any], request: AnyRequest, user_id: str) -> StoredTest:
        model = self._tests.check(request)
        test_id, now = new_request_id(), datetime.now(UTC)
        asked = self._asked(request, None, user_id)
        limit = self._limits.queued_tasks
        task_queue.submit(self._control, test_id, body, model, asked, limit=limit, now=now)
        return store.find(self._control, test_id)

    def _run(self, task: Task) -> None:
        try:
            request, _ = parse(task.body)
            told = self._told(task.id, self._tests.rows(request))
            result = self._tests.run(request, test_id=task.id, now=task.created_at, told=told)
            check_text(result)
            record = record_of(result)
            task_queue.finish(self._control, result, record, findings_of(record["results"]), datetime.now(UTC))
            self._track(result, task.asked.user_id)
        except Exception as error:
            status, _, reason = describe(error)
            if status == 500:
                # Its own message may quote a row: where it failed is logged, what it said is not.
                places = "".join(traceback.format_tb(error.__traceback__))
                _log.error("bias test %s failed (%s)\n%s", task.id, type(error).__name__, places)
                reason = "internal error; the server's log has the details under this id"
            task_queue.fail(self._control, task.id, reason, datetime.now(UTC))

    def _told(self, test_id: str, rows: int | None) -> Callable[[int], None]:
        last = 0.0

        def tell(scored: int) -> None:
            nonlocal last
            if rows and time.monotonic() - last >= _TOLD_SECONDS:
                last = time.monotonic()
                task_queue.touch(self._control, test_id, (1 - _MEASURING) * scored / rows, datetime.now(UTC))

        return tell

    def _keep(self, result: BiasTestResult, record: dict[str, Any], asked: Asked) -> None:
        store.keep(self._control, result, record, findings_of(record["results"]), asked)
        self._track(result, asked.user_id)

    def _track(self, result: BiasTestResult, user_id: str) -> None:
        if self._tracker.providers:
            self._tracker.submit(tracked(result, user_id=user_id))

    def _asked(self, request: AnyRequest, result: BiasTestResult | None, user_id: str) -> Asked:
        details: dict[str, Any] = {"favourable": request.favourable, "alpha": request.alpha}
        dataset_id = None
        if isinstance(request, TableTestRequest):
            data_set = self.data_sets.find(request.dataset)
            dataset_id, details["dataset_fingerprint"] = data_set.id, data_set.fingerprint
        if result is not None:
            details["protected_attributes"] = [attribute.attribute for attribute in result.attributes]
        return Asked(user_id, dataset_id=dataset_id, details=details)
