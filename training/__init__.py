"""LEARN: from data to a candidate model version, measured, gated and registered."""
