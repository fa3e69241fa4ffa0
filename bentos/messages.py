"""What goes into and comes out of our own routes, for schemas, clients and docs; the hot path reads no model."""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, WithJsonSchema

Scalar = float | int | bool | str | None
AnyLabel = Annotated[Scalar, WithJsonSchema({})]
"""A label of any type. Without a type in the schema, since BentoML would make the first of several the only one."""


class Instance(BaseModel):
    """One row to predict."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    features: dict[str, Scalar]
    """One value per column of the model's signature."""

    unit: str | None = None
    """What is assigned to a variant (a person, an account); without it the champion answers."""

    protected: dict[str, str | None] | None = None
    """Protected attributes: logged for bias tests, never seen by the model."""

    id: str | None = None
    """The caller's own id of this row; outcomes may name it."""


class Prediction(BaseModel):
    """The answer for one row."""

    model_config = ConfigDict(use_attribute_docstrings=True, protected_namespaces=())

    prediction: AnyLabel
    """The decided class, or the value of a regressor."""

    probability: float | None = None
    """P(classes[1]) of a binary classifier, whatever was predicted."""

    probabilities: dict[str, float] | None = None
    """One probability per class of a multi-class classifier."""

    prediction_id: str
    """Names this prediction when its outcome is posted."""

    variant: str | None = None
    """The role of the version that answered."""

    model_version: str
    """The version that answered."""


class PredictAnswer(BaseModel):
    """What `/predict` answers."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    predictions: list[Prediction]
    """One per instance, in their order."""


class BiasTestQuestion(BaseModel):
    """What a bias test is asked with: `favourable`, and one of `instances`, `dataset` and `window`."""

    model_config = ConfigDict(use_attribute_docstrings=True, protected_namespaces=())

    favourable: AnyLabel
    """The label one would rather get. It cannot be guessed: 1 may mean "will re-offend"."""

    instances: list[dict[str, Any]] | None = None
    """Rows: `features`, `protected`, and `outcome` where it is known."""

    predictions: list[Any] | None = None
    """What was decided about each instance; left out, the model scores them."""

    window: dict[str, Any] | None = None
    """Live traffic: `since`, `until`, `variant`, `version`."""

    dataset: str | None = None
    """An uploaded data set, by name or id."""

    label: str | None = None
    """The data set's column of outcomes."""

    prediction: str | None = None
    """The data set's column of decisions; left out, the model scores its rows."""

    task: bool = False
    """Whether to answer at once and run as a task, however few rows there are."""

    protected: list[str] | None = None
    """The attributes to test; of instances and traffic, all that come with them where it is left out."""

    model: str | None = None
    """The model's name; may be left out when one model is served, or with decisions."""

    version: str | None = None
    """Which version; else the one behind `alias`."""

    alias: str | None = None
    """Which alias; the champion where neither is said."""

    policy: dict[str, Any] | None = None
    """The tolerances to judge by; the default ones where it is left out."""

    alpha: float | None = None
    """The chance to be wrong that each verdict may have: 0.05."""

    minimum_rows: int | None = None
    """Rates that rest on fewer rows are shown and not compared: 30."""

    intersections: list[list[str]] | None = None
    """Attributes to take together as well."""

    edges: dict[str, list[float]] | None = None
    """Where a measurement is cut into groups, by attribute."""

    references: dict[str, str] | None = None
    """The group that others are set beside, by attribute; the largest where none is named."""

    fairlearn_compat: bool | None = None
    """Whether to put Fairlearn's own answers beside ours."""

    flip: dict[str, list[Any]] | None = None
    """Attribute to two of its values: rows are scored again with these exchanged, where it is a feature."""

    proxies: bool | None = None
    """Whether to measure how well the features tell each attribute."""


class BiasTestAnswer(BaseModel):
    """The result of a bias test: the verdict first, then what it rests on."""

    model_config = ConfigDict(use_attribute_docstrings=True, protected_namespaces=())

    test_id: str
    """Names this test."""

    model: str | None = None
    """The model that was tested."""

    model_version: str | None = None
    """Its version; null where several versions answered."""

    created_at: str
    """When it ran, ISO 8601 in UTC."""

    source: str
    """Where the decisions came from: scored, predictions, table or traffic."""

    rows: int
    """Rows that were measured."""

    favourable: AnyLabel
    """The label one would rather get."""

    verdict: str | None = None
    """pass, fail or insufficient_evidence; null where no tolerance gates."""

    attributes: list[dict[str, Any]]
    """Per protected attribute: its groups with rates and intervals, its disparities with verdicts."""

    policy: dict[str, Any]
    """The tolerances it was judged by."""

    alpha: float
    """The chance to be wrong that each verdict may have."""

    minimum_rows: int
    """Rates that rest on fewer rows are shown and not compared."""

    notes: list[str]
    """What a reader should know beside the numbers."""

    dataset: str | None = None
    """The id of the data set that was tested, if it was one."""

    families: list[dict[str, Any]] = []
    """Which tests were corrected for together, by which method, and how many reject equal rates."""

    individual: dict[str, dict[str, Any]] = {}
    """Indices that know no groups: Theil's and generalized entropy."""

    flips: list[dict[str, Any]] = []
    """What a swap of an attribute in the request did to decisions, where that was asked for."""

    proxies: list[dict[str, Any]] = []
    """How well the features tell each attribute, where that was asked for."""


def answered_before() -> NoReturn:
    """Stand where the body of a declared API would be.

    Raises:
        RuntimeError: Always: nothing calls it.
    """
    raise RuntimeError("the front door answers this route before BentoML sees it (docs/adr/0001)")
