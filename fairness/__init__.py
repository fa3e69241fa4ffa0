"""Measure how differently a model treats groups of people: counts, rates, intervals, disparities, verdicts."""
