"""Tell what AIF360 says of the tables that come as JSON on standard input, as JSON on standard output."""

import json
import math
import sys
import warnings

warnings.simplefilter("ignore")

import pandas as pd  # noqa: E402
from aif360.algorithms.preprocessing import Reweighing  # noqa: E402
from aif360.datasets import BinaryLabelDataset  # noqa: E402
from aif360.metrics import BinaryLabelDatasetMetric, ClassificationMetric  # noqa: E402

UNPRIVILEGED, PRIVILEGED = [{"group": 0.0}], [{"group": 1.0}]


def data_set(table, labels):
    frame = pd.DataFrame({"group": table["group"], **table["features"], "label": labels}, dtype=float)
    return BinaryLabelDataset(
        df=frame,
        label_names=["label"],
        protected_attribute_names=["group"],
        favorable_label=1.0,
        unfavorable_label=0.0,
    )


def said(table):
    truth, decided = data_set(table, table["truth"]), data_set(table, table["decided"])
    groups = {"unprivileged_groups": UNPRIVILEGED, "privileged_groups": PRIVILEGED}
    metric = ClassificationMetric(truth, decided, **groups)
    decisions = BinaryLabelDatasetMetric(decided, **groups)
    reweighed = Reweighing(**groups).fit_transform(truth)
    numbers = {
        "statistical_parity_difference": metric.statistical_parity_difference(),
        "disparate_impact": metric.disparate_impact(),
        "equal_opportunity_difference": metric.equal_opportunity_difference(),
        "average_odds_difference": metric.average_odds_difference(),
        "average_abs_odds_difference": metric.average_abs_odds_difference(),
        "theil_index": metric.theil_index(),
        "generalized_entropy_index": metric.generalized_entropy_index(),
        "consistency": float(decisions.consistency(n_neighbors=5)[0]),
    }
    plain = {
        name: None if math.isnan(value) or math.isinf(value) else float(value) for name, value in numbers.items()
    }
    return plain | {"weights": reweighed.instance_weights.tolist()}


sys.stdout.write(json.dumps([said(table) for table in json.load(sys.stdin)]) + "\n")
