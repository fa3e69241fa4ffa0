from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from assessment.errors import (
    ConflictingReferenceError,
    EmptyTestError,
    MissingFeaturesError,
    NoProtectedAttributeError,
    RowCountError,
)
from assessment.request import BiasTestRequest

ROW = {"features": {"AGEP": 41}, "protected": {"SEX": "2", "RAC1P": 1}, "outcome": 1}


def request(**more: Any) -> BiasTestRequest:
    return BiasTestRequest.model_validate({"favourable": 1, "instances": [ROW, ROW], **more})


def test_labels_keep_their_type() -> None:
    assert type(request(favourable=True).favourable) is bool
    assert type(request(favourable=1.0).favourable) is float
    assert type(request(favourable="1").favourable) is str
    assert type(request(favourable=1).favourable) is int


def test_the_favourable_label_is_mandatory() -> None:
    with pytest.raises(ValidationError, match="favourable"):
        BiasTestRequest.model_validate({"instances": [ROW]})


def test_a_refused_value_is_not_repeated_in_the_message() -> None:
    with pytest.raises(ValidationError) as caught:
        request(instances=[{**ROW, "outcome": {"secret": 1}}])
    assert "secret" not in str(caught.value)


def test_rows_of_a_prediction_request_can_be_sent_as_they_are() -> None:
    request(instances=[{**ROW, "unit": "person-17", "id": "a"}]).check()


def test_all_attributes_that_come_are_tested_unless_some_are_named() -> None:
    assert request().attributes() == ("SEX", "RAC1P")
    assert request(protected=["RAC1P", "RAC1P"]).attributes() == ("RAC1P",)


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"instances": []}, EmptyTestError, "no rows"),
        ({"protected": ["AGE"]}, NoProtectedAttributeError, "'AGE'; sent: SEX, RAC1P"),
        ({"protected": []}, NoProtectedAttributeError, "send `protected`"),
        ({"instances": [{"features": {}}]}, NoProtectedAttributeError, "send `protected`"),
        ({"instances": [ROW, {"protected": {"SEX": "1"}}]}, MissingFeaturesError, "row 1"),
        ({"predictions": [1]}, RowCountError, "1 predictions for 2 rows"),
        ({"model": "m", "version": "1", "alias": "champion"}, ConflictingReferenceError, "not both"),
        ({"version": "1"}, ConflictingReferenceError, "without a model"),
    ],
)
def test_what_cannot_be_tested_is_refused_before_it_is_scored(
    more: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        request(**more).check()
