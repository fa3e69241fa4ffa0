import dataclasses

from loadtests.bench.measure import Measured, medians
from loadtests.bench.report import Conditions, Table, markdown_page

RUN = Measured(
    cpu_answering=180.0,
    cpu_all=200.0,
    requests_per_second=5_000.0,
    p50=5.0,
    p95=9.0,
    p99=12.0,
    requests=20_000,
    failures=0,
)


def test_medians_ignore_one_noisy_round_but_never_a_failure() -> None:
    noisy = dataclasses.replace(RUN, cpu_answering=900.0, p99=400.0, failures=2)
    result = medians([RUN, noisy, RUN])
    assert (result["cpu_answering"], result["p99"]) == (180.0, 12.0)
    assert result["failures"] == 2


def test_the_page_shows_every_figure_and_how_it_came_about() -> None:
    conditions = Conditions(
        day="2026-11-22",
        model_version="3",
        columns=14,
        connections=32,
        repeats=7,
        seconds=4.0,
        compared=512,
        machine={"processor": "a fast one"},
        libraries={"bentoml": "1.4.39"},
    )
    page = markdown_page([Table(1, [("the service", medians([RUN]))])], conditions)
    assert page.startswith("# Benchmarks\n")
    assert "| the service | 180 | 200 | 5,000 | 5.0 | 9.0 | 12.0 | 0 |" in page
    for fact in ["2026-11-22", "version 3 with 14 columns", "medians of 7 rounds of 4 s", "512 rows", "a fast one"]:
        assert fact in page
