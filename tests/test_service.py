"""The front door's declarations: what BentoML's schema, clients and docs are made of is what the routes take."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

import service
from assessment.request import BiasTestRequest
from bentos.bias_test_bodies import TableTestRequest, TrafficTestRequest
from bentos.messages import BiasTestAnswer, Instance, PredictAnswer


def declared(api: str) -> dict[str, bool]:
    """Return the arguments of a declared API, and whether each must be given."""
    schema = service.FairMind.apis[api].input_spec.model_json_schema()
    return {name: name in schema.get("required", ()) for name in schema["properties"]}


def test_a_bias_test_takes_what_all_of_its_kinds_take() -> None:
    kinds = (BiasTestRequest, TableTestRequest, TrafficTestRequest)
    taken = {name for kind in kinds for name in kind.model_fields}
    assert set(declared("bias_test")) == taken | {"task"}
    assert [name for name, required in declared("bias_test").items() if required] == ["favourable"]


def test_a_prediction_takes_instances_and_perhaps_a_model() -> None:
    assert declared("predict") == {"instances": True, "model": False}


@pytest.mark.parametrize("kind", [Instance, PredictAnswer, BiasTestAnswer])
def test_every_field_of_a_message_says_what_it_is(kind: type[BaseModel]) -> None:
    assert [name for name, field in kind.model_fields.items() if not field.description] == []
