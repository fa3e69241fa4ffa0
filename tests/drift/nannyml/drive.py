"""Tell what NannyML's CBPE estimates of the chunks that come as JSON on standard input, as JSON on standard output.

Told are a reference with scores, predictions and outcomes, and chunks with scores and predictions. Where a chunk
has a column `number`, its Jensen-Shannon distance and Kolmogorov-Smirnov statistic from the reference are said too.
"""

import json
import sys
import warnings

warnings.simplefilter("ignore")

import nannyml as nml  # noqa: E402
import pandas as pd  # noqa: E402

told = json.load(sys.stdin)
reference = pd.DataFrame(told["reference"])
chunks = [pd.DataFrame(chunk) for chunk in told["chunks"]]
analysis = pd.concat(chunks, ignore_index=True)
(rows,) = {len(chunk) for chunk in chunks}

estimator = nml.CBPE(
    y_pred_proba="score",
    y_pred="prediction",
    y_true="outcome",
    problem_type="classification_binary",
    metrics=["accuracy", "precision", "recall", "f1"],
    chunk_size=rows,
)
estimator.fit(reference)
estimated = estimator.estimate(analysis).filter(period="analysis").to_df()
drift = nml.UnivariateDriftCalculator(
    column_names=["number"], continuous_methods=["kolmogorov_smirnov", "jensen_shannon"], chunk_size=rows
)
drift.fit(reference[["number"]])
apart = drift.calculate(analysis[["number"]]).filter(period="analysis").to_df()
json.dump(
    {
        "metrics": {
            name: [float(value) for value in estimated[(name, "value")]]
            for name in ("accuracy", "precision", "recall", "f1")
        },
        "ks": [float(value) for value in apart[("number", "kolmogorov_smirnov", "value")]],
        "jensen_shannon": [float(value) for value in apart[("number", "jensen_shannon", "value")]],
    },
    sys.stdout,
)
sys.stdout.write("\n")
