"""Request bodies of each protocol, made of the same people, and what their answers say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from loadtests.rows import Inputs, Person, infer_body, predict_body

_NUMPY: Final[Mapping[str, str]] = {"FP64": "<f8", "INT64": "<i8", "BOOL": "|b1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said about one row; a server may say a label alone or a probability alone."""

    label: Any = None
    probability: float | None = None


Bodies = tuple[bytes, ...]
Reader = Callable[[Any], list[Answer]]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How one kind of server is asked, and how its JSON answers are read."""

    write: Callable[[Inputs, Sequence[Person], str], dict[str, Any]]
    read: Reader

    def bodies(self, inputs: Inputs, persons: Sequence[Person], units: Sequence[str], rows: int) -> Bodies:
        """Return one body per `rows` people; the request's unit is its first one's."""
        return tuple(
            orjson.dumps(self.write(inputs, persons[start : start + rows], units[start]))
            for start in range(0, len(persons) - rows + 1, rows)
        )


def predict_bodies(model: str, persons: Sequence[Person], units: Sequence[str], rows: int) -> Bodies:
    """Return bodies of POST /predict with `rows` people each; every person has a unit."""
    return tuple(
        orjson.dumps(predict_body(model, persons[start : start + rows], units[start : start + rows]))
        for start in range(0, len(persons) - rows + 1, rows)
    )


def binary_body(inputs: Inputs, persons: Sequence[Person], unit: str) -> tuple[bytes, dict[str, str]]:
    """Return one Open Inference Protocol body with raw little-endian tensors, and the headers that go with it."""
    tensors: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name, datatype in inputs.datatypes.items():
        values = [person.features[name] for person in persons]
        if datatype == "BYTES":
            texts = ["" if value is None else str(value) for value in values]
            raw.append(b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in texts))
        else:
            raw.append(np.asarray(values, dtype=_NUMPY[datatype]).tobytes())
        size = {"binary_data_size": len(raw[-1])}
        tensors.append({"name": name, "datatype": datatype, "shape": [len(persons)], "parameters": size})
    parameters = {"unit": unit, "binary_data_output": True}
    head = orjson.dumps({"inputs": tensors, "parameters": parameters})
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    return head + b"".join(raw), headers


def read_predictions(answer: Any) -> list[Answer]:
    """Read `{"predictions": [{"prediction", "probability"}]}`, or that list alone."""
    found = answer["predictions"] if isinstance(answer, dict) else answer
    return [Answer(row["prediction"], row.get("probability")) for row in found]


def read_labels(answer: Any) -> list[Answer]:
    """Read MLflow's `{"predictions": [label]}`."""
    return [Answer(label=label) for label in answer["predictions"]]


def read_tensors(answer: Any) -> list[Answer]:
    """Read the outputs of an Open Inference Protocol answer: probabilities [N, K], under whichever name."""
    (output,) = [output for output in answer["outputs"] if output["name"] in {"probabilities", "predict_proba"}]
    classes = output["shape"][-1]
    return [Answer(probability=value) for value in output["data"][1::classes]]


def _frame(inputs: Inputs, persons: Sequence[Person], _unit: str) -> dict[str, Any]:
    names = list(inputs.datatypes)
    data = [[person.features[name] for name in names] for person in persons]
    return {"dataframe_split": {"columns": names, "data": data}}


def _pandas_tensors(inputs: Inputs, persons: Sequence[Person], _unit: str) -> dict[str, Any]:
    body = infer_body(inputs, persons)
    for tensor in body["inputs"]:
        tensor["shape"] = [len(persons), 1]
        if tensor["datatype"] == "BYTES":
            tensor["parameters"] = {"content_type": "str"}
    return {**body, "parameters": {"content_type": "pd"}, "outputs": [{"name": "predict_proba"}]}


TENSORS: Final = Protocol(infer_body, read_tensors)
MLFLOW: Final = Protocol(_frame, read_labels)
MLSERVER: Final = Protocol(_pandas_tensors, read_tensors)
