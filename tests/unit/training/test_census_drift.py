"""The worked example of drift: the page says what the command found, and the command finds it again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from training.census_drift import CensusDrift, main
from training.census_drift_page import JSON_FILE, PAGE, tables, with_tables, write

DOCS = Path(__file__).resolve().parents[3] / "docs"
FOUND = CensusDrift.model_validate_json((DOCS / JSON_FILE).read_bytes())


def test_the_tables_of_the_page_are_those_of_the_numbers() -> None:
    page = (DOCS / PAGE).read_text(encoding="utf-8")
    for name, table in tables(FOUND).items():
        (told,) = re.findall(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", page, flags=re.DOTALL)
        assert told == table, "stale: make example-drift"
    assert with_tables(page, tables(FOUND)) == page


def test_the_words_of_the_page_are_true_of_the_numbers() -> None:
    assert [year.name for year in FOUND.years] == ["2016", "2017", "2018"]
    assert all(year.verdict == "no_drift" for year in FOUND.years)
    assert all(max(feature.psi.values()) < 0.1 for feature in FOUND.features)
    worst = sorted(FOUND.batches, key=lambda batch: batch.came_true)[:2]
    assert [batch.name for batch in sorted(worst, key=lambda batch: int(batch.name))] == ["28", "29"]
    for batch in worst:
        assert batch.is_held
        assert {"prediction", "score", "outcome", "RELP"} <= set(batch.drifted)
        assert FOUND.held_out_accuracy - batch.came_true > 0.05


def test_the_estimate_is_nearer_than_the_accuracy_of_the_reference() -> None:
    def error(told: list[float]) -> float:
        return sum(abs(one - batch.came_true) for one, batch in zip(told, FOUND.batches, strict=True))

    estimated = [batch.estimated for batch in FOUND.batches]
    assert error(estimated) < 0.6 * error([FOUND.held_out_accuracy] * len(FOUND.batches))
    assert all(abs(year.estimated - year.came_true) < 0.005 for year in FOUND.years)


def test_pictures_are_the_same_each_time(tmp_path: Path) -> None:
    written = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        write(FOUND, folder)
        written.append({path.name: path.read_bytes() for path in (folder / "images").iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {"drift-accuracy.svg", "drift-psi.svg"}


@pytest.mark.long
def test_the_command_finds_the_numbers_of_the_page_again(tmp_path: Path) -> None:
    main(["--docs", str(tmp_path), "--data", str(tmp_path / "data")])
    again = CensusDrift.model_validate_json((tmp_path / JSON_FILE).read_bytes())
    assert [year.verdict for year in again.years] == [year.verdict for year in FOUND.years]
    for one, other in zip((*again.years, *again.batches), (*FOUND.years, *FOUND.batches), strict=True):
        assert one.estimated == pytest.approx(other.estimated, abs=2e-3)
        assert one.came_true == pytest.approx(other.came_true, abs=2e-3)
        assert one.largest_psi == pytest.approx(other.largest_psi, abs=1e-6)
