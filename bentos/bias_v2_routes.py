"""`/api/v1/bias-v2`: what FairMind's frontend asks its backend for, answered by this engine.

Requests and answers have FairMind's shapes (`assessment.fairmind`); what is kept is what `/api/v1/bias-tests` has.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body

from assessment import store
from assessment.data_sets import DataSet
from assessment.errors import NoReportError
from assessment.fairmind import DetectRequest, LlmRecord
from assessment.stored import Findings, StoredTest
from bentos.bias_test_bodies import parsed
from bentos.bias_test_service import BiasTestService
from bentos.companion import Companion
from bentos.data_set_routes import UPLOAD, new_data_set_id
from bentos.paging import Limit, Offset
from bentos.rollout_routes import Actor
from bentos.uploads import Uploaded
from tracking.record import BiasTestType

FAIRMIND: Final = "/api/v1/bias-v2"
_UPLOAD_PREVIEW: Final = 5
_PREVIEW: Final = 10
_RECENT: Final = 10
_RISKS: Final = ("low", "medium", "high", "critical")

Json = Annotated[dict[str, Any], Body()]


def bias_v2_routes(companion: Companion, service: BiasTestService) -> APIRouter:
    """Return the routes over the service that runs tests and the database that keeps them."""
    router = APIRouter(prefix=FAIRMIND, tags=["FairMind"])
    control, data_sets = companion.control, service.data_sets

    @router.post("/upload-dataset", openapi_extra=UPLOAD)
    def upload_dataset(file: Uploaded, user: Actor) -> dict[str, Any]:
        """Keep a data set and show its first rows."""
        kept = data_sets.add(file, dataset_id=new_data_set_id(), user_id=user, now=datetime.now(UTC))
        preview = data_sets.first_rows(kept, _UPLOAD_PREVIEW)
        return {"dataset_id": kept.id, "rows": kept.rows, "columns": list(kept.columns), "preview": preview}

    @router.post("/detect")
    def detect(request: Json, user: Actor) -> dict[str, Any]:
        """Test the predictions in a data set for bias between the groups of one attribute."""
        return service.detect(parsed(DetectRequest, request), user_id=user)

    @router.post("/detect-llm")
    def detect_llm(request: Json, user: Actor) -> dict[str, Any]:
        """Keep a test of a language model that was measured elsewhere."""
        return service.keep_llm(parsed(LlmRecord, request), user_id=user)

    @router.get("/test/{test_id}")
    def show_test(test_id: str) -> dict[str, Any]:
        """Return one test."""
        found = store.find(control, test_id)
        if found.record is None:
            raise NoReportError(test_id, f"it is {found.state}" + (f" ({found.reason})" if found.reason else ""))
        return found.record

    @router.get("/history")
    def history(
        model_id: str | None = None,
        test_type: BiasTestType | None = None,
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        """Return tests, newest first; `total` counts all that fit."""
        tests, total = store.listed(
            control, model=model_id, test_type=test_type, done_only=True, limit=limit, offset=offset
        )
        return {"tests": [_summary(test) for test in tests], "total": total, "limit": limit, "offset": offset}

    @router.get("/statistics")
    def statistics(model_id: str | None = None) -> dict[str, Any]:
        """Return how many tests there are, by risk and by kind, and how many per cent of their metrics passed."""
        counted = store.statistics(control, model_id)
        recent, _ = store.listed(control, model=model_id, done_only=True, limit=_RECENT)
        judged = counted.metrics_passed + counted.metrics_failed
        return {
            "total_tests": counted.total,
            "by_risk": counted.by_risk,
            "by_type": counted.by_type,
            "ml_tests": counted.by_type.get(BiasTestType.ML_BIAS, 0),
            "llm_tests": counted.by_type.get(BiasTestType.LLM_BIAS, 0),
            "risk_distribution": {risk: counted.by_risk.get(risk, 0) for risk in _RISKS},
            "total_metrics_tested": judged,
            "metrics_passed": counted.metrics_passed,
            "metrics_failed": counted.metrics_failed,
            "pass_rate": round(100 * counted.metrics_passed / judged, 2) if judged else None,
            "recent_tests": [_summary(test) for test in recent],
        }

    @router.get("/datasets")
    def list_datasets(limit: Limit = 50, offset: Offset = 0) -> dict[str, Any]:
        """Return data sets, newest first, without their rows."""
        found, total = data_sets.listed(limit=limit, offset=offset)
        return {"datasets": [_described(one) for one in found], "total": total, "limit": limit, "offset": offset}

    @router.get("/datasets/{dataset_id}")
    def show_dataset(dataset_id: str) -> dict[str, Any]:
        """Return one data set with its first rows."""
        found = data_sets.find(dataset_id)
        return {
            **_described(found),
            "dataset_id": found.id,
            "user_id": found.user_id,
            "column_types": found.columns,
            "metadata": {"name": found.name, "fingerprint": found.fingerprint},
            "preview": data_sets.first_rows(found, _PREVIEW),
        }

    @router.delete("/datasets/{dataset_id}")
    def delete_dataset(dataset_id: str) -> dict[str, str]:
        """Forget a data set and its rows."""
        return {"message": f"Dataset {data_sets.remove(dataset_id).id} deleted successfully"}

    return router


def _described(data_set: DataSet) -> dict[str, Any]:
    return {
        "id": data_set.id,
        "filename": data_set.filename,
        "rows": data_set.rows,
        "columns": list(data_set.columns),
        "uploaded_at": data_set.created_at.isoformat(),
        "file_size_bytes": data_set.uploaded_bytes,
    }


def _summary(test: StoredTest) -> dict[str, Any]:
    found = test.findings or Findings("unknown", 0, 0, "")
    created_at = test.created_at.isoformat()
    return {
        "id": test.id,
        "test_id": test.id,
        "model_id": test.model,
        "dataset_id": test.dataset_id,
        "test_type": str(test.test_type),
        "timestamp": created_at,
        "created_at": created_at,
        "overall_risk": found.overall_risk,
        "metrics_passed": found.metrics_passed,
        "metrics_failed": found.metrics_failed,
        "summary": found.summary,
    }
