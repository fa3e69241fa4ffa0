"""XGBoost's and LightGBM's stored models as graphs: what a hand works out, and what the libraries predict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, softmax
from uv import find_uv_bin

from compilation.booster_trees import lightgbm_graph, xgboost_graph
from compilation.tree_graph import TreeGraph
from inference.errors import CompileError
from inference.onnx_output import OnnxOutput
from inference.onnx_runtime import OnnxRuntime
from inference.preprocessing import NumberBlock
from tests.debian import install_libgomp

PROGRAM = Path(__file__).with_name("booster_training.py")
NAN = float("nan")


def answers(graph: TreeGraph, rows: np.ndarray) -> np.ndarray:
    blocks = tuple(NumberBlock(f"x{place}", place) for place in range(graph.features))
    runtime = OnnxRuntime(
        blocks=blocks, graph=graph.content, output=graph.output, single=graph.single, classes=graph.classes
    )
    scores = runtime.run({f"x{place}": rows[:, place] for place in range(graph.features)}, len(rows))
    return scores.values if scores.probabilities is None else scores.probabilities


# ---- XGBoost ----


def xgboost_tree(**changes) -> dict:
    """x0 < 0.1 (missing: left): 1; otherwise x1 in {2, 5} (missing: right): -2, else 0.5."""
    tree = {
        "tree_param": {"num_nodes": "5", "size_leaf_vector": "1"},
        "left_children": [1, -1, 3, -1, -1],
        "right_children": [2, -1, 4, -1, -1],
        "split_indices": [0, 0, 1, 0, 0],
        "split_conditions": [0.1, 1.0, 0.0, 0.5, -2.0],
        "default_left": [1, 0, 0, 0, 0],
        "categories": [2, 5],
        "categories_nodes": [2],
        "categories_segments": [0],
        "categories_sizes": [2],
    }
    return tree | changes


def xgboost_model(objective: str = "reg:squarederror", base: str = "5E-1", classes: int = 0, **model) -> dict:
    grown = {"trees": [xgboost_tree()] * 3, "tree_info": [0] * 3, "iteration_indptr": [0, 1, 2, 3]}
    return {
        "learner": {
            "gradient_booster": {"name": "gbtree", "model": grown | model},
            "learner_model_param": {"base_score": base, "num_class": str(classes), "num_feature": "2"},
            "objective": {"name": objective},
        }
    }


def stored(model: dict) -> bytes:
    return json.dumps(model).encode()


NEAR = [np.float32(0.1), np.nextafter(np.float32(0.1), np.float32(0)), 0.1 + 1e-12, 0.1 - 1e-12]
ROWS = np.array([[NAN, 2.0], [0.2, 2.0], [0.2, 3.0], [0.2, NAN], [0.2, 5.0], *([value, 3.0] for value in NEAR)])
LEAVES = np.array([1.0, -2.0, 0.5, -2.0, -2.0, 0.5, 1.0, 0.5, 0.5])


def test_xgboost_compares_in_single_precision_and_categories_go_right() -> None:
    graph = xgboost_graph(stored(xgboost_model()))
    assert (graph.features, graph.classes, graph.output) == (2, 0, OnnxOutput.VALUE)
    np.testing.assert_array_equal(answers(graph, ROWS), 0.5 + 3.0 * LEAVES)


@pytest.mark.parametrize(
    ("objective", "link"),
    [("reg:logistic", expit), ("count:poisson", np.exp), ("reg:gamma", np.exp), ("reg:absoluteerror", lambda x: x)],
)
def test_an_xgboost_objective_says_the_link(objective: str, link) -> None:
    start = {"reg:logistic": np.log(0.25 / 0.75), "reg:absoluteerror": 0.25}.get(objective, np.log(0.25))
    graph = xgboost_graph(stored(xgboost_model(objective, "[2.5E-1]")))
    np.testing.assert_allclose(answers(graph, ROWS), link(start + 3.0 * LEAVES), rtol=1e-6)


def test_xgboost_classes_and_values_have_trees_of_their_own() -> None:
    raw = np.column_stack([LEAVES, LEAVES, LEAVES * 0.0]) + 0.5
    several = xgboost_model("multi:softprob", classes=3, tree_info=[0, 1, 2])
    empty = xgboost_tree(split_conditions=[0.1, 0.0, 0.0, 0.0, 0.0])
    several["learner"]["gradient_booster"]["model"]["trees"][2] = empty
    np.testing.assert_allclose(answers(xgboost_graph(stored(several)), ROWS), softmax(raw, axis=1), rtol=1e-6)
    several["learner"]["objective"]["name"] = "reg:squarederror"
    graph = xgboost_graph(stored(several))
    assert graph.output is OnnxOutput.VALUES
    np.testing.assert_array_equal(answers(graph, ROWS), raw)
    two = xgboost_graph(stored(xgboost_model("binary:logistic")))
    assert two.classes == 2
    np.testing.assert_allclose(answers(two, ROWS)[:, 1], expit(3.0 * LEAVES), rtol=1e-6)


def test_only_so_many_rounds_count() -> None:
    graph = xgboost_graph(stored(xgboost_model()), iterations=2)
    np.testing.assert_array_equal(answers(graph, ROWS), 0.5 + 2.0 * LEAVES)
    with pytest.raises(CompileError, match="which trees 4 rounds are"):
        xgboost_graph(stored(xgboost_model()), iterations=4)


VECTORS = xgboost_tree(tree_param={"size_leaf_vector": "2"})
DART = xgboost_model()
DART["learner"]["gradient_booster"]["name"] = "dart"


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (stored(DART), "booster='dart'"),
        (stored(xgboost_model("rank:ndcg")), "objective='rank:ndcg'"),
        (stored(xgboost_model("binary:logistic", classes=3)), "with 3 outputs"),
        (stored(xgboost_model(trees=[VECTORS])), "vectors"),
        (stored(xgboost_model(trees=[{}])), "damaged"),
        (stored(xgboost_model())[:-9], "damaged"),
        (b"[]", "damaged"),
        (b"", "damaged"),
        (b"binf\x00\x00", "damaged"),
    ],
)
def test_an_xgboost_model_without_a_graph_is_refused_with_the_reason(model: bytes, reason: str) -> None:
    with pytest.raises(CompileError, match=reason):
        xgboost_graph(model)


# ---- LightGBM ----


def lightgbm_model(
    objective: str = "regression", kinds: str = "10 1", trees: int = 2, head: str = "", **tree
) -> str:
    """x0 <= 0.1 (missing as `kinds` says): 1; otherwise x1 in {2, 33}: -2, else 0.5."""
    lines = {
        "num_leaves": "3",
        "split_feature": "0 1",
        "threshold": "0.10000000000000001 0",
        "decision_type": kinds,
        "left_child": "-1 -2",
        "right_child": "1 -3",
        "leaf_value": "1 -2 0.5",
        "cat_boundaries": "0 2",
        "cat_threshold": "4 2",
        "is_linear": "0",
    } | tree
    body = "\n".join(f"{name}={value}" for name, value in lines.items())
    per_round = 2 if objective.startswith("multiclass") else 1
    start = (
        f"tree\nversion=v4\n{head}\nnum_tree_per_iteration={per_round}\nmax_feature_idx=1\nobjective={objective}\n"
    )
    return start + "".join(f"\nTree={index}\n{body}\n" for index in range(trees)) + "\nend of trees\n"


NUMBERS = [0.1, np.nextafter(0.1, 1.0), np.nextafter(0.1, 0.0)]
LIGHT_ROWS = np.array([[0.2, 2.0], [0.2, 33.0], [0.2, 1.0], [0.2, NAN], [0.2, -1.0], *([x, 1.0] for x in NUMBERS)])
LIGHT_LEAVES = np.array([-2.0, -2.0, 0.5, 0.5, 0.5, 1.0, 0.5, 1.0])


def test_lightgbm_compares_in_double_precision_and_categories_go_left() -> None:
    graph = lightgbm_graph(lightgbm_model())
    assert (graph.features, graph.classes, graph.output) == (2, 0, OnnxOutput.VALUE)
    np.testing.assert_array_equal(answers(graph, LIGHT_ROWS), 2.0 * LIGHT_LEAVES)


@pytest.mark.parametrize(
    ("kind", "threshold", "leaf"),
    [(10, "0.1", 1.0), (8, "0.1", 0.5), (2, "0.1", 1.0), (0, "0.1", 1.0), (2, "-0.1", 0.5), (0, "0", 1.0)],
    ids=["nan, left", "nan, right", "as zero", "as zero, right", "as zero, below", "as zero, at zero"],
)
def test_a_missing_number_goes_where_lightgbm_sends_it(kind: int, threshold: str, leaf: float) -> None:
    graph = lightgbm_graph(lightgbm_model(kinds=f"{kind} 1", threshold=f"{threshold} 0", trees=1))
    assert answers(graph, np.array([[NAN, 1.0]])).tolist() == [leaf]


@pytest.mark.parametrize(
    ("objective", "link"),
    [("binary sigmoid:0.5", lambda x: expit(0.5 * x)), ("cross_entropy", expit), ("poisson", np.exp)],
)
def test_a_lightgbm_objective_says_the_link(objective: str, link) -> None:
    got = answers(lightgbm_graph(lightgbm_model(objective)), LIGHT_ROWS)
    np.testing.assert_allclose(got[:, 1] if got.ndim == 2 else got, link(2.0 * LIGHT_LEAVES), rtol=1e-14)


def test_lightgbm_classes_take_turns_and_a_forest_is_an_average() -> None:
    model = lightgbm_model("multiclass num_class:2", trees=4)
    raw = np.column_stack([LIGHT_LEAVES, LIGHT_LEAVES])
    np.testing.assert_allclose(answers(lightgbm_graph(model), LIGHT_ROWS), softmax(raw, axis=1), rtol=1e-14)
    forest = lightgbm_model(trees=5, head="average_output")
    np.testing.assert_allclose(answers(lightgbm_graph(forest), LIGHT_ROWS), LIGHT_LEAVES, rtol=1e-14)


def test_a_lightgbm_tree_of_one_leaf_gives_that_leaf() -> None:
    model = lightgbm_model(trees=1).replace("num_leaves=3", "num_leaves=1").replace("1 -2 0.5", "7.5")
    assert answers(lightgbm_graph(model), LIGHT_ROWS[:2]).tolist() == [7.5, 7.5]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lightgbm_model("regression sqrt"), "objective='regression sqrt'"),
        (lightgbm_model("lambdarank"), "objective='lambdarank'"),
        (lightgbm_model(is_linear="1"), "linear models"),
        (lightgbm_model(kinds="4 1"), "zeros count as missing"),
        (lightgbm_model(kinds="12 1"), "damaged"),
        (lightgbm_model(cat_threshold="0 0"), "damaged"),
        (lightgbm_model(leaf_value="1 -2"), "damaged"),
        (lightgbm_model("multiclass num_class:2", trees=3), "3 trees, 2 in an iteration"),
        (lightgbm_model()[:-20], "damaged"),
        ("", "damaged"),
    ],
)
def test_a_lightgbm_model_without_a_graph_is_refused_with_the_reason(model: str, reason: str) -> None:
    with pytest.raises(CompileError, match=reason):
        lightgbm_graph(model)


# ---- beside the libraries ----


def trained(library: str, folder: Path, *packages: str) -> np.ndarray:
    """Train in a throwaway environment; return the rows."""
    command = [find_uv_bin(), "run", "--no-project", "--isolated", "--python", sys.executable]
    for package in packages:
        command += ["--with", package]
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [*command, "python", str(PROGRAM), library, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return np.load(folder / "rows.npy")


@pytest.mark.long
@pytest.mark.parametrize(
    "packages",
    [("xgboost==3.1.1", "numpy==2.3.5", "scipy==1.16.3"), ("xgboost==2.0.3", "numpy==1.26.4", "scipy==1.11.4")],
    ids=lambda packages: packages[0],
)
def test_xgboost_predicts_the_same(packages: tuple[str, ...], tmp_path: Path) -> None:
    rows = trained("xgboost", tmp_path, *packages)
    models = sorted(tmp_path.glob("*.json"))
    assert len(models) == 17
    for path in models:
        graph = xgboost_graph(path.read_bytes())
        assert xgboost_graph(path.with_suffix(".ubj").read_bytes()) == graph
        fewer = xgboost_graph(path.read_bytes(), iterations=7)
        for made, name in ((graph, path.stem), (fewer, f"{path.stem} 7")):
            got = answers(made, rows)
            truth = np.load(tmp_path / f"{name}.npy")
            np.testing.assert_allclose(got[:, 1] if made.classes == 2 else got, truth, rtol=1e-6, atol=1e-7)


@pytest.mark.long
def test_lightgbm_predicts_the_same(tmp_path: Path) -> None:
    install_libgomp()
    rows = trained("lightgbm", tmp_path, "lightgbm==4.6.0", "numpy==2.3.5", "scipy==1.16.3")
    models = sorted(tmp_path.glob("*.txt"))
    assert len(models) == 90
    for path in models:
        graph = lightgbm_graph(path.read_text(encoding="utf-8"))
        got = answers(graph, rows)
        truth = np.load(path.with_suffix(".npy"))
        np.testing.assert_allclose(got[:, 1] if graph.classes == 2 else got, truth, rtol=1e-13, atol=1e-14)
