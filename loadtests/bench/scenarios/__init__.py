"""What is measured: one module per question, each with `run(stage)` that returns sections of the page."""
