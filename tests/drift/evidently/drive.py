"""Tell what Evidently says of the columns that come as JSON on standard input, as JSON on standard output.

A column is {"kind", "reference", "current"}; said of it are PSI, the Jensen-Shannon distance, for numbers the
p-value of Kolmogorov and Smirnov, and the edges that Evidently cuts numbers at.
"""

import json
import sys
import warnings

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from evidently.legacy.calculations.stattests import (  # noqa: E402
    jensenshannon_stat_test,
    ks_stat_test,
    psi_stat_test,
)
from evidently.legacy.calculations.stattests.registry import get_stattest  # noqa: E402
from evidently.legacy.core import ColumnType  # noqa: E402


def said(column):
    kind = ColumnType.Numerical if column["kind"] == "number" else ColumnType.Categorical
    reference, current = pd.Series(column["reference"]), pd.Series(column["current"])

    def measured(test):
        found = get_stattest(reference, current, kind, test)
        return float(found(reference, current, kind, None).drift_score)

    numbers = {"psi": measured(psi_stat_test), "jensen_shannon": measured(jensenshannon_stat_test)}
    if column["kind"] == "number":
        numbers["ks_p"] = measured(ks_stat_test)
        edges = np.histogram_bin_edges(np.concatenate([reference, current]), bins="sturges")
        numbers["edges"] = edges.tolist()
    return numbers


json.dump([said(column) for column in json.load(sys.stdin)], sys.stdout)
sys.stdout.write("\n")
