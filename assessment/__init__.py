"""Run bias tests: collect the rows, score them, measure, judge, render."""
