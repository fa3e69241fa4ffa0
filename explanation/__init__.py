"""EXPLAIN: why a prediction is what it is, feature by feature; off the hot path."""
