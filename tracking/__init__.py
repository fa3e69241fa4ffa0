"""Report test results to MLflow and Weights & Biases: kept on disk first, sent by processes of their own."""
