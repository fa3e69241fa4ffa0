"""Between bias tests as they are kept here and the records that MLflow and Weights & Biases get."""

from __future__ import annotations

from sqlalchemy import Engine

from assessment import store
from assessment.fairmind import findings_in
from assessment.report_html import html
from assessment.result import BiasTestResult
from assessment.store import Asked
from tracking.record import LONGEST_MODEL_ID, BiasTestRecord, BiasTestType


def tracked(result: BiasTestResult, *, user_id: str = "") -> BiasTestRecord:
    """Return the record of a test, its report with it; predictions that came without a model are of "unnamed"."""
    metadata = {
        "model_version": result.model_version,
        "source": str(result.source),
        "rows": result.rows,
        "favourable": result.favourable,
        "alpha": result.alpha,
        "minimum_rows": result.minimum_rows,
        "protected_attributes": ", ".join(attribute.attribute for attribute in result.attributes),
    }
    return BiasTestRecord(
        id=result.test_id,
        user_id=user_id,
        model_id=(result.model or "unnamed")[:LONGEST_MODEL_ID],
        dataset_id=result.dataset,
        test_type=BiasTestType.ML_BIAS,
        results=result.model_dump(mode="json"),
        metadata={key: value for key, value in metadata.items() if value is not None},
        created_at=result.created_at,
        html=html(result),
    )


class RecordStore:
    """The control database as `tracking.bias_test_results.BiasTestResults` keeps records in it."""

    def __init__(self, control: Engine) -> None:
        self._control = control

    def save(self, record: BiasTestRecord) -> None:
        """Keep a record among all bias tests; one of the same id is not kept twice."""
        store.keep_record(
            self._control,
            record.id,
            model_id=record.model_id,
            asked=Asked(record.user_id, record.test_type, record.dataset_id, record.metadata),
            record=record.results,
            findings=findings_in(record.results),
            now=record.created_at,
        )
