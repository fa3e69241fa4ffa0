"""Somebody else's training: plain scikit-learn and MLflow, and nothing of this project.

`train.py TABLE.parquet LABEL STORE FOLDER` fits a logistic regression, logs it to the MLflow store, and writes the
pipeline to FOLDER/model.joblib and the URI of the logged model to FOLDER/model.uri.
"""

import sys
import warnings
from pathlib import Path

import joblib
import mlflow
import pandas as pd
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

warnings.simplefilter("ignore")
table, label, store, folder = sys.argv[1:5]
frame = pd.read_parquet(table)
target = frame.pop(label)
numbers = list(frame.select_dtypes("number"))
texts = [column for column in frame if column not in numbers]
columns = make_column_transformer(
    (StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore", min_frequency=20), texts)
)
model = make_pipeline(columns, LogisticRegression(C=0.3, max_iter=500)).fit(frame, target)
joblib.dump(model, Path(folder) / "model.joblib")

mlflow.set_tracking_uri(store)
mlflow.set_experiment("theirs")
with mlflow.start_run():
    logged = mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(frame, model.predict(frame)),
        serialization_format="cloudpickle",
        pip_requirements=["scikit-learn"],
    )
(Path(folder) / "model.uri").write_text(logged.model_uri)
