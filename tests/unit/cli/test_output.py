"""What is printed: results on standard output, everything else beside it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cli.output import emit_json, table


def test_json_is_one_document_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": "Köln", "number": np.float64(0.5), "list": np.array([1, 2]), "nothing": None}
    emit_json(value)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"name": "Köln", "number": 0.5, "list": [1, 2], "nothing": None}
    assert "Köln" in printed.out
    assert printed.out.endswith("}\n")
    assert printed.err == ""


def test_a_table_has_its_columns_and_no_rows() -> None:
    made = table("Models", "version", "aliases")
    assert [column.header for column in made.columns] == ["version", "aliases"]
    assert (made.title, made.row_count) == ("Models", 0)
