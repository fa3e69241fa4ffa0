"""A column that a request may leave out, left out on every protocol: answered, and logged as missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from bentos.worker import Worker
from tests.unit.bentos.conftest import fit_credit

ROW = {"age": 41.0, "amount": 2.0}
TENSORS = [{"name": name, "datatype": "FP64", "shape": [1], "data": [value]} for name, value in ROW.items()]
NESTED = [one | {"shape": [1, 1]} for one in TENSORS]
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "predict": ("/predict", {"json": {"instances": [{"features": ROW}]}}),
    "one plain row of tensors": ("/v2/models/credit/infer", {"json": {"inputs": TENSORS}}),
    "tensors [1, 1]": ("/v2/models/credit/infer", {"json": {"inputs": NESTED}}),
    "records": ("/invocations", {"json": {"dataframe_records": [ROW]}}),
    "two records": ("/invocations", {"json": {"dataframe_records": [ROW, ROW]}}),
    "CSV": ("/invocations", {"content": b"age,amount\n41,2\n", "headers": {"content-type": "text/csv"}}),
    "KServe V1": ("/v1/models/credit:predict", {"json": {"instances": [ROW]}}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose signature says that the job may be left out."""
    folder = tmp_path_factory.mktemp("optional")
    fit_credit(0, folder)
    path = folder / "fairmind" / "signature.json"
    signature = orjson.loads(path.read_bytes())
    for column in signature["columns"]:
        if column["name"] == "job":
            column |= {"nullable": True, "optional": True, "categories": None}
    path.write_bytes(orjson.dumps(signature))
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_it_is_answered_and_logged_as_missing(service: Any, folder: Path, tmp_path: Path, form: str) -> None:
    service.serve(folder)
    path, request = FORMS[form]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answer = await client.post(path, **request)
        assert answer.status_code == 200, answer.text

    service.run(scenario)
    (segment,) = (tmp_path / "spool").iterdir()
    features = orjson.loads(segment.read_bytes())["features"]
    rows = features if type(features) is list else [{name: values[0] for name, values in features.items()}]
    assert rows[0].get("job") is None
    assert {name: rows[0][name] for name in ROW} == ROW
