"""A compiled model answers as the pipeline it was made from, and what cannot be compiled is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import ensemble, linear_model, neighbors, tree
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)

from compilation.compile import CompiledModel, compile_model
from inference.errors import CompileError
from inference.frames import columns_from_frame
from inference.signature import ColumnType, Task
from tests.fakes.pipelines import CITIES, fitted, labels, people, preprocessing

CLASSIFIERS = [
    linear_model.LogisticRegression(max_iter=500),
    linear_model.LogisticRegression(max_iter=500, fit_intercept=False),
    linear_model.LogisticRegressionCV(
        Cs=2, cv=2, max_iter=500, l1_ratios=(0.0,), use_legacy_attributes=False, scoring="accuracy"
    ),
    ensemble.HistGradientBoostingClassifier(max_iter=10),
    ensemble.GradientBoostingClassifier(n_estimators=10),
    ensemble.GradientBoostingClassifier(n_estimators=5, init="zero"),
    ensemble.RandomForestClassifier(10),
    ensemble.RandomForestClassifier(7, max_depth=3, class_weight="balanced"),
    ensemble.ExtraTreesClassifier(10, max_depth=4),
    tree.DecisionTreeClassifier(max_depth=4),
    tree.ExtraTreeClassifier(),
]
REGRESSORS = [
    linear_model.LinearRegression(),
    linear_model.Ridge(),
    linear_model.RidgeCV(),
    linear_model.Lasso(),
    linear_model.LassoCV(cv=2),
    linear_model.ElasticNet(),
    linear_model.ElasticNetCV(cv=2),
    linear_model.HuberRegressor(max_iter=1000),
    linear_model.BayesianRidge(),
    linear_model.ARDRegression(),
    linear_model.SGDRegressor(),
    ensemble.HistGradientBoostingRegressor(max_iter=10),
    ensemble.HistGradientBoostingRegressor(max_iter=10, loss="poisson"),
    ensemble.GradientBoostingRegressor(n_estimators=10),
    ensemble.GradientBoostingRegressor(n_estimators=10, loss="huber"),
    ensemble.RandomForestRegressor(10),
    ensemble.ExtraTreesRegressor(10),
    tree.DecisionTreeRegressor(max_depth=5),
    tree.ExtraTreeRegressor(),
]


def assert_same(model: Pipeline, compiled: CompiledModel, frame: pd.DataFrame) -> None:
    columns, rows = columns_from_frame(frame, compiled.signature)
    answer = compiled.served().predict(columns, rows)
    if compiled.signature.task is Task.REGRESSION:
        np.testing.assert_allclose(answer.prediction, model.predict(frame), rtol=1e-9, atol=1e-9)
    else:
        np.testing.assert_allclose(answer.probabilities, model.predict_proba(frame), rtol=0, atol=1e-9)
        two = np.sort(model.predict_proba(frame), axis=1)[:, -2:]
        decided = two[:, 1] - two[:, 0] > 1e-9  # a tie falls with the last bit of a sum
        np.testing.assert_array_equal(answer.prediction[decided], model.predict(frame)[decided])
    for row in (0, rows - 1):  # a row is answered the same alone as in a batch
        alone = compiled.served().predict({name: values[row : row + 1] for name, values in columns.items()}, 1)
        assert alone.prediction[0] == answer.prediction[row]
        if answer.probabilities is not None:
            np.testing.assert_array_equal(alone.probabilities, answer.probabilities[row : row + 1])


def strangers() -> pd.DataFrame:
    """People with gaps elsewhere, cities and jobs that nobody has seen, and numbers far out."""
    frame = people(80, seed=9)
    frame.loc[::5, "city"] = "Jena"
    frame.loc[::7, "job"] = ""
    frame.loc[::9, "income"] = -1e6
    frame.loc[::13, "age"] = 0.0
    return frame


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda estimator: str(estimator)[:60])
def test_every_classifier_answers_as_before(estimator, classes: int) -> None:
    frame = people()
    model = fitted(estimator, frame, labels(frame, classes))
    compiled = compile_model(model, frame)
    assert compiled.signature.classes == tuple(range(classes))
    assert_same(model, compiled, frame)
    assert_same(model, compiled, strangers())


@pytest.mark.parametrize("estimator", REGRESSORS, ids=lambda estimator: str(estimator)[:60])
def test_every_regressor_answers_as_before(estimator) -> None:
    frame = people()
    model = fitted(estimator, frame, frame["age"].fillna(40) / 10 + frame["member"])
    compiled = compile_model(model, frame)
    assert compiled.signature.task is Task.REGRESSION
    assert_same(model, compiled, frame)
    assert_same(model, compiled, strangers())


@pytest.mark.parametrize("names", [("no", "yes"), (False, True), (1.0, 2.0), (7, 3)])
def test_labels_keep_their_type(names) -> None:
    frame = people()
    model = fitted(linear_model.LogisticRegression(), frame, np.array(names)[labels(frame)])
    compiled = compile_model(model, frame)
    assert [type(label) for label in compiled.signature.classes] == [type(names[0])] * 2
    assert_same(model, compiled, frame)


ENCODERS = [
    OneHotEncoder(),
    OneHotEncoder(handle_unknown="ignore"),
    OneHotEncoder(handle_unknown="ignore", drop="first", sparse_output=False),
    OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20),
    OneHotEncoder(handle_unknown="ignore", max_categories=2, drop="first"),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
]


@pytest.mark.parametrize("fill", [None, "most_frequent", "constant"])
@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
@pytest.mark.parametrize(
    "estimator", [linear_model.LogisticRegression(), ensemble.RandomForestClassifier(5)], ids=["linear", "trees"]
)
@pytest.mark.filterwarnings("ignore:Found unknown categories:UserWarning")
def test_every_encoder_answers_as_before(estimator, encoder, fill) -> None:
    frame = people()[["city", "job"]]
    steps = [SimpleImputer(strategy=fill, fill_value="none" if fill == "constant" else None)] if fill else []
    model = make_pipeline(*steps, encoder, estimator).fit(frame, labels(people()))
    compiled = compile_model(model, frame)
    assert_same(model, compiled, frame)
    new = frame.copy()
    if encoder.handle_unknown == "error":
        assert set(compiled.signature.columns[0].categories or ()) >= set(CITIES)
    else:
        assert compiled.signature.columns[0].categories is None
        new.loc[::3, "city"] = "Jena"
    assert_same(model, compiled, new)


SCALERS = [StandardScaler(), StandardScaler(with_mean=False), MinMaxScaler((-1, 2)), MaxAbsScaler(), RobustScaler()]


@pytest.mark.parametrize(
    "scaler", [*SCALERS, make_pipeline(MinMaxScaler(), StandardScaler()), "passthrough"], ids=str
)
@pytest.mark.parametrize("order", ["fill first", "fill last"])
def test_every_scaler_answers_as_before(scaler, order) -> None:
    frame = people()[["income", "age"]]
    fill = SimpleImputer(strategy="median")
    steps = [("fill", fill), ("scale", scaler)]
    for estimator in (linear_model.Ridge(), tree.DecisionTreeRegressor()):
        model = Pipeline([*(steps if order == "fill first" else steps[::-1]), ("model", estimator)])
        model.fit(frame, frame["age"].fillna(1))
        assert_same(model, compile_model(model, frame), frame)


def test_the_signature_says_what_the_pipeline_takes() -> None:
    frame = people().assign(children=np.arange(120) % 4, height=1.5, label=1)
    steps = preprocessing("error")
    steps.transformers += [("plain", "passthrough", ["children", "height"])]
    model = fitted(linear_model.LogisticRegression(max_iter=500), frame.drop(columns="label"), labels(frame), steps)
    columns = {column.name: column for column in compile_model(model, frame).signature.columns}
    assert list(columns) == [*people().columns, "children", "height"]
    assert [column.type.value for column in columns.values()] == [
        "double",
        "string",
        "boolean",
        "double",
        "string",
        "long",
        "double",
    ]
    assert [name for name, column in columns.items() if column.nullable] == ["age", "city", "income", "job"]
    assert columns["city"].categories == tuple(sorted(CITIES))
    assert columns["member"].categories == (False, True)


def test_a_flag_that_was_never_raised_is_an_unknown_category() -> None:
    frame = people().assign(member=False)
    steps = ColumnTransformer([("flag", OneHotEncoder(handle_unknown="ignore"), ["member"])], remainder="drop")
    model = fitted(linear_model.LogisticRegression(), frame, labels(people()), steps)
    compiled = compile_model(model, frame)
    assert {column.name: column.categories for column in compiled.signature.columns}["member"] is None
    assert_same(model, compiled, frame.assign(member=np.arange(120) % 2 == 0))


def test_a_category_that_would_become_nan_is_refused_unless_the_model_takes_it() -> None:
    frame = people(missing=False)[["city"]]
    for estimator, taken in (
        (linear_model.LogisticRegression(), False),
        (ensemble.HistGradientBoostingClassifier(max_iter=5), True),
    ):
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
        model = make_pipeline(encoder, estimator).fit(frame, labels(people()))
        compiled = compile_model(model, frame)
        city = compiled.signature.columns[0]
        assert (city.categories is None, city.nullable) == (taken, taken)
        assert_same(model, compiled, frame.assign(city="Jena") if taken else frame)


def test_a_column_used_twice_takes_what_both_uses_take() -> None:
    frame = people(missing=False)
    steps = ColumnTransformer(
        [
            ("open", OneHotEncoder(handle_unknown="ignore"), ["city"]),
            ("closed", OrdinalEncoder(), ["city", "job"]),
            ("age", StandardScaler(), ["age"]),
            ("again", SimpleImputer(), ["age"]),
        ]
    )
    model = fitted(ensemble.RandomForestClassifier(5), frame, labels(frame), steps)
    compiled = compile_model(model, frame)
    columns = {column.name: column for column in compiled.signature.columns}
    assert columns["city"].categories == tuple(sorted(CITIES))
    assert not columns["age"].nullable
    assert_same(model, compiled, frame)


def test_none_as_a_category_is_refused_with_the_remedy() -> None:
    frame = people(missing=False)[["city"]].astype(object)
    frame.loc[::9, "city"] = None
    model = make_pipeline(OneHotEncoder(), linear_model.LogisticRegression()).fit(frame, labels(people()))
    with pytest.raises(CompileError, match="column 'city': None is a category"):
        compile_model(model, frame)


def test_integers_that_are_imputed_take_missing_values_as_numbers_do() -> None:
    frame = people(missing=False).assign(age=lambda people: people["age"].astype(int))
    compiled = compile_model(fitted(linear_model.LogisticRegression(), frame, labels(frame)), frame)
    age = compiled.signature.columns[0]
    assert (age.type, age.nullable) == (ColumnType.DOUBLE, True)


def test_a_column_that_is_dropped_is_still_part_of_the_signature() -> None:
    frame = people()
    steps = ColumnTransformer([("keep", SimpleImputer(), ["age"])])
    model = fitted(linear_model.LogisticRegression(), frame, labels(frame), steps)
    compiled = compile_model(model, frame)
    assert len(compiled.signature.columns) == 5
    assert_same(model, compiled, frame)


def test_remainder_passthrough_and_columns_by_position_are_followed() -> None:
    frame = people(missing=False)[["income", "city", "age"]]
    steps = ColumnTransformer([("city", OneHotEncoder(), [1])], remainder="passthrough")
    model = fitted(tree.DecisionTreeClassifier(max_depth=5), frame, labels(people()), steps)
    assert_same(model, compile_model(model, frame), frame)


def test_missing_numbers_reach_histogram_boosting_itself() -> None:
    frame = people()[["age", "income"]]
    model = ensemble.HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=3).fit(frame, labels(people()))
    compiled = compile_model(model, frame)
    assert all(column.nullable for column in compiled.signature.columns)
    assert_same(model, compiled, frame)


def test_a_threshold_becomes_the_decision() -> None:
    frame = people()
    inner = fitted(linear_model.LogisticRegression(), frame, labels(frame))
    fixed = FixedThresholdClassifier(inner, threshold=0.3, response_method="predict_proba").fit(
        frame, labels(frame)
    )
    tuned = TunedThresholdClassifierCV(inner, cv=2).fit(frame, labels(frame))
    for model in (fixed, tuned):
        compiled = compile_model(model, frame)
        assert compiled.decision.threshold is not None
        assert_same(model, compiled, frame)


VALUES = {
    "age": st.none() | st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, 40.0, 40.5]),
    "city": st.none() | st.sampled_from([*CITIES, "", "Jena", "bonn"]) | st.text(max_size=3),
    "member": st.booleans(),
    "income": st.none() | st.floats(-1e9, 1e9),
    "job": st.none() | st.sampled_from(["a", "b", "c", "d"]),
}
ROWS = st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Pipeline, CompiledModel]]:
    frame = people()
    made = []
    for estimator in CLASSIFIERS[:1] + CLASSIFIERS[3:8]:
        for classes in (2, 3):
            model = fitted(clone(estimator), frame, labels(frame, classes))
            made.append((model, compile_model(model, frame)))
    return made


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS, which=st.integers(0, 11))
def test_any_rows_are_answered_as_before(pairs, rows, which: int) -> None:
    model, compiled = pairs[which]
    frame = pd.DataFrame(rows).astype({"city": "str", "job": "str", "age": float, "income": float})
    assert_same(model, compiled, frame)


NUMBERS = ["age", "income"]


def refused(steps, estimator=None, frame: pd.DataFrame | None = None) -> CompileError:
    frame = people()[NUMBERS].fillna(0) if frame is None else frame
    model = make_pipeline(steps, linear_model.LogisticRegression(max_iter=500) if estimator is None else estimator)
    model.fit(frame, labels(people()))
    with pytest.raises(CompileError) as caught:
        compile_model(model, frame)
    return caught.value


@pytest.mark.parametrize(
    ("steps", "part"),
    [
        (FunctionTransformer(np.abs), "FunctionTransformer"),
        (make_pipeline(SimpleImputer(), SplineTransformer()), "SplineTransformer"),
        (OneHotEncoder(), "column 'age'"),
    ],
    ids=str,
)
def test_a_step_without_a_compiled_form_is_named(steps, part: str) -> None:
    assert refused(steps).part == part


@pytest.mark.parametrize(
    "estimator",
    [
        linear_model.RidgeClassifier(),
        linear_model.SGDClassifier(),
        ensemble.VotingClassifier([("a", tree.DecisionTreeClassifier())]),
        TransformedTargetRegressor(linear_model.Ridge(), func=np.cbrt, inverse_func=np.square, check_inverse=False),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_an_estimator_without_a_compiled_form_is_named(estimator) -> None:
    assert refused(StandardScaler(), estimator).part == type(estimator).__name__


@pytest.mark.parametrize("estimator", [tree.DecisionTreeClassifier(), neighbors.KNeighborsClassifier()], ids=str)
def test_a_classifier_of_several_labels_is_refused_with_the_reason(estimator) -> None:
    frame = people()[NUMBERS].fillna(0)
    model = make_pipeline(StandardScaler(), estimator).fit(frame, np.c_[labels(people()), labels(people(), 3)])
    with pytest.raises(CompileError, match="more than one output, of which a classifier may have one only"):
        compile_model(model, frame)


def test_missing_values_that_nothing_fills_are_refused() -> None:
    frame = people(missing=False)[NUMBERS]
    model = make_pipeline(StandardScaler(), linear_model.LogisticRegression()).fit(frame, labels(people()))
    with pytest.raises(CompileError, match=r"column 'age'.*nothing in the pipeline fills them"):
        compile_model(model, people()[NUMBERS])


def test_strings_without_an_encoder_and_unnamed_columns_are_refused() -> None:
    frame = people(missing=False)[NUMBERS]
    model = make_pipeline(StandardScaler(), linear_model.LogisticRegression())
    with pytest.raises(CompileError, match="named columns"):
        compile_model(model.fit(frame.to_numpy(), labels(people())), frame)
    model.fit(frame, labels(people()))
    with pytest.raises(CompileError, match=r"column 'age'.*without an encoder"):
        compile_model(model, frame.astype({"age": "str"}))
    with pytest.raises(CompileError, match=r"column 'income'.*not in the data frame"):
        compile_model(model, frame[["age"]])
