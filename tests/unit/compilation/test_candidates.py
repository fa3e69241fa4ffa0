"""Whatever estimator stands behind whatever preprocessing: what is stored answers as the model does."""

from __future__ import annotations

import dataclasses
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import (
    calibration,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_selection,
    impute,
    linear_model,
    multiclass,
    naive_bayes,
    neural_network,
    svm,
    tree,
)
from sklearn import preprocessing as pp
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline, make_pipeline, make_union

from compilation.anatomy import dissect
from compilation.candidates import Candidate, candidates
from compilation.compile import CompiledModel
from compilation.onnx_conversion import pipeline_graph
from compilation.parity import Verdict
from compilation.selection import REGISTERED, select_runtimes
from inference.errors import CompileError, ParityError
from inference.frames import columns_from_frame
from inference.loading import load_model
from inference.onnx_pipeline_runtime import OnnxPipelineRuntime
from inference.runtime import Columns, Scores
from tests.fakes.pipelines import fitted, labels, people, preprocessing

LOGISTIC = linear_model.LogisticRegression(max_iter=500)
CALIBRATED = calibration.CalibratedClassifierCV
CLASSIFIERS = [
    LOGISTIC,
    linear_model.SGDClassifier(loss="log_loss", random_state=0),
    discriminant_analysis.LinearDiscriminantAnalysis(),
    ensemble.RandomForestClassifier(10),
    ensemble.ExtraTreesClassifier(5),
    ensemble.GradientBoostingClassifier(n_estimators=5),
    ensemble.HistGradientBoostingClassifier(max_iter=5),
    tree.DecisionTreeClassifier(),
    neural_network.MLPClassifier((8,), max_iter=300),
    CALIBRATED(LOGISTIC, cv=2),
    CALIBRATED(LOGISTIC, cv=2, method="isotonic"),
    CALIBRATED(svm.LinearSVC(), cv=2, ensemble=False),
    CALIBRATED(ensemble.RandomForestClassifier(5), cv=2, method="isotonic"),
    CALIBRATED(ensemble.HistGradientBoostingClassifier(max_iter=3), cv=2),
    CALIBRATED(ensemble.GradientBoostingClassifier(n_estimators=3), cv=2, method="isotonic", ensemble=False),
    CALIBRATED(naive_bayes.GaussianNB(), cv=2),
    ensemble.VotingClassifier(
        [("a", LOGISTIC), ("b", tree.DecisionTreeClassifier())], voting="soft", weights=[1, 3]
    ),
    ensemble.BaggingClassifier(n_estimators=3, max_features=0.5),
    ensemble.StackingClassifier([("a", LOGISTIC), ("b", naive_bayes.GaussianNB())], cv=2),
    naive_bayes.GaussianNB(),
]
REGRESSORS = [
    linear_model.LinearRegression(),
    linear_model.PoissonRegressor(),
    linear_model.GammaRegressor(),
    linear_model.TweedieRegressor(power=1.5),
    linear_model.TweedieRegressor(power=0),
    linear_model.QuantileRegressor(),
    svm.LinearSVR(),
    neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=200),
    ensemble.HistGradientBoostingRegressor(max_iter=5, loss="gamma"),
    ensemble.VotingRegressor([("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor())]),
    ensemble.BaggingRegressor(n_estimators=3),
    cross_decomposition.PLSRegression(2),
]
OF_SEVERAL_VALUES = [
    linear_model.LinearRegression(),
    linear_model.MultiTaskLasso(),
    ensemble.RandomForestRegressor(5),
    tree.DecisionTreeRegressor(),
    neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=200),
    cross_decomposition.PLSRegression(2),
]


def quietly_fitted(estimator: Any, frame: pd.DataFrame, target: Any, steps: Any = None) -> Pipeline:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a network of eight neurons on 120 people has not converged
        return fitted(estimator, frame, target, steps)


def assert_served_as_predicted(model: Any, frame: pd.DataFrame, folder: Path, others: pd.DataFrame) -> None:
    """Select, store, load, and compare with the model on rows that were not among those of the proof."""
    found = candidates(model, frame)
    selected = select_runtimes(found, model, frame)
    selected.compiled.save(folder)
    served = load_model(folder)
    assert selected.proof.largest_difference <= 1e-6
    assert {candidate.name for candidate in found} | {REGISTERED} == {
        result.name for result in selected.proof.candidates
    }
    columns, rows = columns_from_frame(others, served.signature)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = model.predict_proba(others) if served.signature.classes else model.predict(others)
    for size in (rows, 1):
        part = {name: values[:size] for name, values in columns.items()}
        answer = served.predict(part, size)
        if served.signature.classes:
            np.testing.assert_allclose(answer.probabilities, expected[:size], rtol=0, atol=1e-6)
        else:
            np.testing.assert_allclose(answer.prediction, expected[:size], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda estimator: str(estimator)[:70])
def test_every_classifier_is_served_as_it_predicts(estimator, classes: int, tmp_path: Path) -> None:
    frame = people(200)
    model = quietly_fitted(estimator, frame, labels(frame, classes))
    assert_served_as_predicted(model, frame, tmp_path, people(60, seed=5))


@pytest.mark.parametrize("estimator", REGRESSORS, ids=lambda estimator: str(estimator)[:70])
def test_every_regressor_is_served_as_it_predicts(estimator, tmp_path: Path) -> None:
    frame = people(200)
    model = quietly_fitted(estimator, frame, frame["age"].fillna(40) / 10 + frame["member"])
    assert_served_as_predicted(model, frame, tmp_path, people(60, seed=5))


@pytest.mark.parametrize("estimator", OF_SEVERAL_VALUES, ids=lambda estimator: type(estimator).__name__)
def test_a_regressor_of_several_values_is_served_as_it_predicts(estimator, tmp_path: Path) -> None:
    frame = people(200)
    target = np.c_[frame["age"].fillna(40) / 10, frame["member"] - frame["income"].fillna(1) / 1e4]
    model = quietly_fitted(estimator, frame, target)
    assert_served_as_predicted(model, frame, tmp_path, people(60, seed=5))
    assert load_model(tmp_path).signature.outputs == ("y0", "y1")


def test_one_versus_the_rest_is_served_as_it_predicts(tmp_path: Path) -> None:
    frame = people(200)
    model = fitted(multiclass.OneVsRestClassifier(LOGISTIC), frame, labels(frame, 3))
    assert_served_as_predicted(model, frame, tmp_path, people(60, seed=5))


def numbers(*steps: Any) -> ColumnTransformer:
    encoder = pp.OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    chain = make_pipeline(impute.SimpleImputer(), *steps)
    return ColumnTransformer([("n", chain, ["age", "income"]), ("c", encoder, ["city", "job"])])


PREPROCESSING = {
    "principal components": make_pipeline(preprocessing(), decomposition.PCA(3)),
    "scaled afterwards": make_pipeline(preprocessing(), pp.StandardScaler()),
    "best features": make_pipeline(preprocessing(), feature_selection.SelectKBest(k=4)),
    "polynomials": numbers(pp.PolynomialFeatures(3), pp.StandardScaler()),
    "interactions": numbers(pp.PolynomialFeatures(2, interaction_only=True, include_bias=False)),
    "bins": numbers(pp.KBinsDiscretizer(3, encode="onehot-dense", quantile_method="averaged_inverted_cdf")),
    "quantiles": numbers(pp.QuantileTransformer(n_quantiles=10)),
    "clipped": numbers(pp.MinMaxScaler(clip=True)),
    "targets": ColumnTransformer(
        [("t", pp.TargetEncoder(random_state=0), ["city", "job"]), ("n", impute.SimpleImputer(), ["age"])]
    ),
}


@pytest.mark.parametrize(
    "estimator", [LOGISTIC, ensemble.RandomForestClassifier(5)], ids=lambda estimator: type(estimator).__name__
)
@pytest.mark.parametrize("steps", PREPROCESSING)
def test_every_preprocessing_is_served_as_it_predicts(steps: str, estimator, tmp_path: Path) -> None:
    frame = people(200)
    model = quietly_fitted(estimator, frame, labels(frame), PREPROCESSING[steps])
    assert_served_as_predicted(model, frame, tmp_path, people(60, seed=5))


def test_a_union_of_features_is_served_as_it_predicts(tmp_path: Path) -> None:
    frame = people(200, missing=False)[["age", "income"]]
    steps = make_union(pp.StandardScaler(), decomposition.PCA(1))
    model = fitted(LOGISTIC, frame, labels(people(200)), steps)
    assert_served_as_predicted(model, frame, tmp_path, people(60, seed=5, missing=False)[["age", "income"]])


def texts() -> tuple[pd.DataFrame, np.ndarray]:
    words = ["a good day", "a bad day", "what a night", "good night and good luck", "bad luck"]
    frame = pd.DataFrame({"text": words * 20, "age": np.arange(100.0)}).astype({"text": "str"})
    return frame, frame["text"].str.contains("good").to_numpy(dtype=bool)


def test_words_are_served_as_they_predict(tmp_path: Path) -> None:
    frame, target = texts()
    words = TfidfVectorizer(token_pattern="[a-zA-Z]+")  # the default's are letters beyond ASCII, too
    steps = ColumnTransformer([("words", words, "text"), ("age", pp.StandardScaler(), ["age"])])
    model = fitted(LOGISTIC, frame, target, steps)
    assert_served_as_predicted(model, frame, tmp_path, frame.head(20))


@pytest.mark.parametrize("classes", [2, 3])
def test_boosting_with_categories_of_text_takes_new_and_missing_ones(classes: int, tmp_path: Path) -> None:
    frame = people(300).astype({"city": "category", "job": "category"})
    model = ensemble.HistGradientBoostingClassifier(
        max_iter=10, min_samples_leaf=3, categorical_features="from_dtype"
    )
    model.fit(frame, labels(people(300), classes))
    others = people(60, seed=5).assign(city=lambda rows: rows["city"].where(rows.index % 4 > 0, "Jena"))
    assert_served_as_predicted(model, frame, tmp_path, others)


def test_boosting_with_numbers_as_categories_takes_new_and_missing_ones(tmp_path: Path) -> None:
    frame = people(300)
    codes = pp.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    steps = ColumnTransformer([("c", codes, ["city", "job"]), ("n", "passthrough", ["age", "income"])])
    estimator = ensemble.HistGradientBoostingClassifier(
        max_iter=10, min_samples_leaf=3, categorical_features=[0, 1]
    )
    model = fitted(estimator, frame, labels(frame), steps)
    others = people(60, seed=5).assign(city=lambda rows: rows["city"].where(rows.index % 4 > 0, "Jena"))
    assert_served_as_predicted(model, frame, tmp_path, others)


def test_a_forest_behind_scaling_in_float32_is_refused() -> None:
    """The negative control: at thresholds, float32 falls on the other side."""
    frame = people(400, missing=False)[["age", "income"]]
    forest = ensemble.RandomForestClassifier(30, random_state=0)
    scaled = fitted(forest, frame, labels(people(400)), pp.StandardScaler())
    anatomy = dissect(scaled, frame)
    form = pipeline_graph(scaled, anatomy.signature, double=False)
    runtime = OnnxPipelineRuntime(graph=form.content, inputs=form.inputs, output=form.output, classes=2, answer="y")
    single = Candidate("float32", CompiledModel(anatomy.signature, anatomy.decision, runtime))
    proof = select_runtimes([single, *candidates(scaled, frame)], scaled, frame).proof
    results = {result.name: result.verdict for result in proof.candidates}
    assert results["float32"] is Verdict.REFUSED
    assert results["onnx-trees"] is Verdict.PROVEN


def test_a_forest_that_does_not_round_its_features_is_refused() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(200, 3)), columns=["a", "b", "c"])
    model = ensemble.RandomForestClassifier(10, random_state=0).fit(frame, (frame["a"] > frame["b"]).astype(int))
    proof = select_runtimes(candidates(model, frame), model, frame).proof
    results = {result.name: result for result in proof.candidates}
    refused = results["onnx-float64"]  # skl2onnx's; the model compares its features in float32
    assert refused.verdict is Verdict.REFUSED
    assert (refused.largest_difference or 0.0) > 1e-3
    assert results["onnx-trees"].verdict is results["treelite"].verdict is Verdict.PROVEN


def test_words_cut_otherwise_than_in_the_model_are_refused() -> None:
    frame, target = texts()
    steps = ColumnTransformer([("words", TfidfVectorizer(), "text"), ("age", pp.StandardScaler(), ["age"])])
    model = fitted(LOGISTIC, frame, target, steps)
    with pytest.raises(ParityError):
        select_runtimes(candidates(model, frame), model, frame)


class Sabotaged:
    """Right but for rows of one age, which it calls certain."""

    def __init__(self, runtime: Any) -> None:
        self._runtime, self.blocks = runtime, runtime.blocks

    def run(self, columns: Columns, rows: int) -> Scores:
        scores = self._runtime.run(columns, rows)
        scores.probabilities[columns["age"] == 40.0] = [0.0, 1.0]
        return scores

    def stored(self) -> Any:
        raise AssertionError("it must never be stored")


@pytest.fixture(scope="module")
def pair() -> tuple[Pipeline, list[Candidate]]:
    frame = people(200)
    model = fitted(LOGISTIC, frame, labels(frame))
    return model, candidates(model, frame)


def sabotaged(candidate: Candidate) -> Candidate:
    assert candidate.compiled is not None
    wrong: Any = Sabotaged(candidate.compiled.runtime)
    return dataclasses.replace(candidate, compiled=dataclasses.replace(candidate.compiled, runtime=wrong))


def test_a_sabotaged_candidate_is_refused_and_another_one_kept(pair, tmp_path: Path) -> None:
    model, made = pair
    selected = select_runtimes([sabotaged(made[0]), *made[1:]], model, people(200))
    result = selected.proof.candidates[0]
    assert (result.name, result.verdict) == ("linear", Verdict.REFUSED)
    assert "decisions changed" in (result.reason or "")
    assert "linear" not in selected.proof.chosen
    selected.compiled.save(tmp_path)


def test_where_all_are_wrong_the_nearest_is_named(pair) -> None:
    model, made = pair
    with pytest.raises(ParityError, match="decisions changed"):
        select_runtimes([sabotaged(made[0])], model, people(200))


def test_a_candidate_that_fails_on_rows_is_out_with_what_it_said(pair) -> None:
    class Failing(Sabotaged):
        def run(self, columns: Columns, rows: int) -> Scores:
            raise OSError("no such luck")

    model, made = pair
    failing: Any = Failing(made[0].compiled.runtime)
    broken = dataclasses.replace(made[0], compiled=dataclasses.replace(made[0].compiled, runtime=failing))
    proof = select_runtimes([broken, *made[1:]], model, people(200)).proof
    assert proof.candidates[0].verdict is Verdict.NOT_CONVERTIBLE
    assert "it does not run (OSError: no such luck)" in (proof.candidates[0].reason or "")
    with pytest.raises(CompileError, match="no such luck"):
        select_runtimes([broken], model, people(200))


def test_what_needs_scikit_learn_is_measured_and_never_kept(pair) -> None:
    model, made = pair
    proof = select_runtimes(made, model, people(200)).proof
    measured = {result.name for result in proof.candidates if result.verdict is Verdict.MEASURED}
    assert measured == {"scikit-learn-matrix", REGISTERED}
    assert not measured & set(proof.chosen)
    for result in proof.candidates:
        assert set(result.microseconds_per_row) == {1, 32, 1024}
        assert result.in_worker == (result.name not in measured)
    with pytest.raises(CompileError, match="runner only"):
        next(one for one in made if not one.in_worker).compiled.runtime.stored()
    assert {"onnxruntime", "onnx", "skl2onnx", "treelite"} <= set(proof.versions)


@pytest.mark.parametrize("library", ["treelite", "onnx", "skl2onnx"])
def test_a_library_that_is_not_installed_costs_its_candidates_only(library: str, monkeypatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    frame = people(missing=False)
    model = fitted(tree.DecisionTreeClassifier(), frame, labels(frame))
    made = {one.name: one.refusal for one in candidates(model, frame)}
    refused = {name: str(refusal) for name, refusal in made.items() if refusal is not None}
    expected = {
        "treelite": {"treelite"},
        "onnx": {"onnx-trees", "onnx-float64", "onnx-float32"},
        "skl2onnx": {"onnx-float64", "onnx-float32"},
    }
    assert set(refused) == expected[library]
    assert all(library in reason for reason in refused.values())
    assert f"{library} is not installed" in " ".join(refused.values())


def test_rows_that_the_model_itself_refuses_are_not_compared() -> None:
    frame = people(200, missing=False)[["age", "income"]]
    model = fitted(tree.DecisionTreeClassifier(), frame, labels(people(200)), pp.PolynomialFeatures(3))
    proof = select_runtimes(candidates(model, frame), model, frame).proof
    assert proof.adversarial_rows > 40
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="too large for dtype"):
        model.predict(pd.DataFrame({"age": [1e30], "income": [1.0]}))
