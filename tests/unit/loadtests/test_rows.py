import json

import pandas as pd

from loadtests.rows import Inputs, Person, infer_body, people_of, predict_body, unit_names

INPUTS = Inputs("employment", {"AGEP": "FP64", "SCHL": "BYTES", "ROOMS": "INT64", "VET": "BOOL"})
FRAME = pd.DataFrame(
    {
        "AGEP": [41, None, 7],
        "SCHL": ["21", "16", None],
        "ROOMS": [3, 4, 5],
        "VET": [True, False, False],
        "SEX": ["1", "2", "2"],
        "RAC1P": ["1", "6", "9"],
        "prediction": [1, 0, 0],
    }
)


def test_people_have_the_columns_of_the_model_and_their_groups_apart() -> None:
    persons = people_of(FRAME, INPUTS, 3)
    assert {tuple(person.features) for person in persons} == {("AGEP", "SCHL", "ROOMS", "VET")}
    assert sorted(person.protected["RAC1P"] for person in persons) == ["1", "6", "9"]


def test_values_have_the_json_types_of_their_datatypes_and_missing_ones_are_null() -> None:
    by_race = {person.protected["RAC1P"]: person.features for person in people_of(FRAME, INPUTS, 3)}
    assert json.dumps(by_race["1"]) == '{"AGEP": 41.0, "SCHL": "21", "ROOMS": 3, "VET": true}'
    assert by_race["6"]["AGEP"] is None
    assert by_race["9"]["SCHL"] is None


def test_the_same_seed_draws_the_same_people_and_more_than_there_are_is_all_of_them() -> None:
    assert people_of(FRAME, INPUTS, 2, seed=3) == people_of(FRAME, INPUTS, 2, seed=3)
    assert len(people_of(FRAME, INPUTS, 100)) == 3


def test_a_prediction_body_names_units_only_where_there_are_some() -> None:
    persons = [Person({"AGEP": 41.0}, {"SEX": "1"}), Person({"AGEP": 7.0}, {"SEX": "2"})]
    body = predict_body("employment", persons, ["person-1", None])
    assert body == {
        "model": "employment",
        "instances": [
            {"features": {"AGEP": 41.0}, "protected": {"SEX": "1"}, "unit": "person-1"},
            {"features": {"AGEP": 7.0}, "protected": {"SEX": "2"}},
        ],
    }


def test_a_tensor_body_has_one_tensor_per_column_with_all_rows() -> None:
    persons = people_of(FRAME, INPUTS, 3)
    body = infer_body(INPUTS, persons, "person-1")
    assert [tensor["name"] for tensor in body["inputs"]] == list(INPUTS.datatypes)
    assert {tuple(tensor["shape"]) for tensor in body["inputs"]} == {(3,)}
    assert body["inputs"][2]["data"] == [person.features["ROOMS"] for person in persons]
    assert body["parameters"] == {"unit": "person-1"}
    assert "parameters" not in infer_body(INPUTS, persons)


def test_unit_names_are_different_and_reproducible() -> None:
    assert len(set(unit_names(1_000))) == 1_000
    assert unit_names(10) == unit_names(10)
    assert unit_names(10, seed=1) != unit_names(10)
