"""`/api/v1/datasets`: tables that are uploaded once and tested by name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter

from assessment.data_sets import DataSets
from bentos.paging import Limit, Offset
from bentos.rollout_routes import Actor
from bentos.uploads import Uploaded
from monitoring.identifiers import new_request_id

_FILE: Final = {"type": "string", "format": "binary"}
UPLOAD: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    # Without a type: a field of a form is text, whatever it was before it was sent.
                    "properties": {"file": _FILE, "name": {"description": "What to call the data set."}},
                }
            },
            "text/csv": {"schema": {"type": "string"}},
            "application/vnd.apache.parquet": {"schema": _FILE},
        },
    }
}
"""How OpenAPI says it of a route that takes `Uploaded`."""


def new_data_set_id() -> str:
    """Return a new id of a data set."""
    return f"ds_{new_request_id()}"


def data_set_routes(data_sets: DataSets) -> APIRouter:
    """Return the routes over the data sets of this home."""
    router = APIRouter(prefix="/api/v1/datasets", tags=["data sets"])

    @router.post("", status_code=201, openapi_extra=UPLOAD)
    def upload(file: Uploaded, user: Actor) -> dict[str, Any]:
        """Keep a CSV or Parquet file as a data set; the same rows under the same name are kept once."""
        kept = data_sets.add(file, dataset_id=new_data_set_id(), user_id=user, now=datetime.now(UTC))
        return kept.to_dict()

    @router.get("")
    def list_data_sets(limit: Limit = 50, offset: Offset = 0) -> dict[str, Any]:
        """Return data sets, newest first, without their rows."""
        found, total = data_sets.listed(limit=limit, offset=offset)
        return {
            "datasets": [data_set.to_dict() for data_set in found],
            "total": total,
            "limit": limit,
            "offset": offset,
        }

    @router.get("/{name}")
    def show_data_set(name: str) -> dict[str, Any]:
        """Return one data set by its id or its name, without its rows."""
        return data_sets.find(name).to_dict()

    @router.delete("/{name}")
    def remove_data_set(name: str) -> dict[str, Any]:
        """Forget a data set and its rows; tests that were run on it stay."""
        return data_sets.remove(name).to_dict()

    return router
