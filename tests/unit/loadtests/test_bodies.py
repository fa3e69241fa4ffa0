import json

import numpy as np

from loadtests.bench.bodies import (
    MLFLOW,
    MLSERVER,
    Answer,
    binary_body,
    read_labels,
    read_predictions,
    read_tensors,
)
from loadtests.rows import Inputs, Person

INPUTS = Inputs("m", {"AGEP": "FP64", "SCHL": "BYTES", "ROOMS": "INT64", "VET": "BOOL"})
PERSONS = [
    Person({"AGEP": 41.0, "SCHL": "21", "ROOMS": 3, "VET": True}, {}),
    Person({"AGEP": None, "SCHL": "é", "ROOMS": 4, "VET": False}, {}),
]


def test_a_binary_body_has_its_tensors_in_order_after_a_header_of_the_length_it_states() -> None:
    body, headers = binary_body(INPUTS, PERSONS, "u")
    length = int(headers["Inference-Header-Content-Length"])
    head, raw = json.loads(body[:length]), body[length:]
    assert head["parameters"] == {"unit": "u", "binary_data_output": True}
    sizes = [tensor["parameters"]["binary_data_size"] for tensor in head["inputs"]]
    assert sum(sizes) == len(raw)
    parts = [raw[end - size : end] for size, end in zip(sizes, np.cumsum(sizes), strict=True)]
    np.testing.assert_array_equal(np.frombuffer(parts[0], "<f8"), [41.0, np.nan])
    assert parts[1] == b"\x02\x00\x00\x0021\x02\x00\x00\x00\xc3\xa9"
    assert np.frombuffer(parts[2], "<i8").tolist() == [3, 4]
    assert parts[3] == b"\x01\x00"


def test_each_peer_is_told_the_same_people() -> None:
    (frame,) = map(json.loads, MLFLOW.bodies(INPUTS, PERSONS, ["a", "b"], 2))
    assert frame["dataframe_split"]["data"] == [list(person.features.values()) for person in PERSONS]
    (tensors,) = map(json.loads, MLSERVER.bodies(INPUTS, PERSONS, ["a", "b"], 2))
    assert [tensor["data"] for tensor in tensors["inputs"]] == [
        [person.features[name] for person in PERSONS] for name in INPUTS.datatypes
    ]


def test_answers_of_each_protocol_are_read_alike() -> None:
    assert read_predictions({"predictions": [{"prediction": 1, "probability": 0.7}]}) == [Answer(1, 0.7)]
    assert read_predictions([{"prediction": "a"}]) == [Answer("a")]
    assert read_labels({"predictions": [0, 1]}) == [Answer(0), Answer(1)]
    outputs = [
        {"name": "prediction", "shape": [2], "data": [0, 1]},
        {"name": "probabilities", "shape": [2, 2], "data": [0.9, 0.1, 0.2, 0.8]},
    ]
    assert read_tensors({"outputs": outputs}) == [Answer(probability=0.1), Answer(probability=0.8)]
