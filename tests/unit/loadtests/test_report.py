import dataclasses
import json

from loadtests.bench.findings import at_least, at_most, not_measured
from loadtests.bench.measure import Measured, medians
from loadtests.bench.report import (
    SERVER_HEAD,
    Conditions,
    Section,
    json_page,
    markdown_page,
    renewed,
    sections_of,
    server_row,
)

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
CONDITIONS = Conditions(
    day="2026-11-22",
    effort="32 connections, 7 rounds of 4 s",
    compared=512,
    machine={"processor": "a fast one"},
    libraries={"bentoml": "1.4.39"},
)
SECTION = Section(
    "One row per request",
    SERVER_HEAD,
    [server_row("the service", medians([RUN]))],
    [
        at_most("CPU", 1.4, 1.5, " ×"),
        at_least("requests/s", 4.0, 5.0, " ×"),
        not_measured("peer", "≥ 5 ×", "absent"),
    ],
    notes=["**a peer was not measured**: it cannot be installed"],
)


def test_medians_ignore_one_noisy_round_but_never_a_failure() -> None:
    noisy = dataclasses.replace(RUN, cpu_answering=900.0, p99=400.0, failures=2)
    result = medians([RUN, noisy, RUN])
    assert (result["cpu_answering"], result["p99"]) == (180.0, 12.0)
    assert result["failures"] == 2


def test_the_page_shows_every_figure_and_how_it_came_about() -> None:
    page = markdown_page([SECTION], CONDITIONS)
    assert page.startswith("# Benchmarks\n")
    assert "\n## One row per request\n" in page
    assert "| the service | 180 | 200 | 5,000 | 5.0 | 9.0 | 12.0 | 0 |" in page
    for fact in ["2026-11-22", "7 rounds of 4 s", "512\nrows", "a fast one", "bentoml: 1.4.39"]:
        assert fact in page


def test_the_page_opens_with_what_is_missed_or_not_measured_and_shows_every_verdict() -> None:
    page = markdown_page([SECTION], CONDITIONS)
    summary = page.partition("## Targets")[2].partition("\n## ")[0]
    assert "1 of 3 targets are met" in summary
    assert "| requests/s | ≥ 5 × | 4 × (20 % short) | **missed** |" in summary
    assert "| peer | ≥ 5 × | absent | **not measured** |" in summary
    assert "| CPU | ≤ 1.5 × | 1.4 × | met |" not in summary
    assert "| CPU | ≤ 1.5 × | 1.4 × | met |" in page
    assert "- **a peer was not measured**: it cannot be installed" in page


def test_the_json_holds_what_the_page_holds() -> None:
    held = json.loads(json.dumps(json_page([SECTION], CONDITIONS)))
    assert held["conditions"]["compared"] == 512
    assert [finding["met"] for finding in held["sections"][0]["findings"]] == [True, False, None]


def test_a_page_is_read_back_and_a_section_of_it_renewed_which_says_so() -> None:
    other = dataclasses.replace(SECTION, title="Memory")
    held = sections_of(json.loads(json.dumps(json_page([SECTION, other], CONDITIONS))))
    assert markdown_page(held, CONDITIONS) == markdown_page([SECTION, other], CONDITIONS)
    better = dataclasses.replace(other, findings=[at_most("CPU", 1.1, 1.5, " ×")])
    page = markdown_page(renewed(held, [better], "2026-11-23 at 08:00 UTC"), CONDITIONS)
    assert page.index("## One row per request") < page.index("## Memory")
    assert page.count("| CPU | ≤ 1.5 × | 1.1 × | met |") == 1
    assert page.count("- Measured in a later run, on 2026-11-23 at 08:00 UTC.") == 1
    added = renewed(held, [dataclasses.replace(other, title="Disk")], "today")
    assert [section.title for section in added] == [SECTION.title, "Memory", "Disk"]
