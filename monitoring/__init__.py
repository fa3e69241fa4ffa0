"""OBSERVE: what happened, kept safely: the prediction log, outcomes, windows of both, and metrics."""
