from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from sources.file import FileSource
from sources.named import CensusPart, census_employment
from sources.openml import OpenmlSource
from sources.source import Source
from sources.sql import SqlSource
from sources.wheel import WheelSource

_SOURCE: TypeAdapter[Any] = TypeAdapter(Source)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"kind": "file", "path": "people.csv"}, FileSource),
        ({"kind": "sql", "url_env": "DB", "query": "SELECT 1"}, SqlSource),
        ({"kind": "openml", "id": 1590}, OpenmlSource),
        ({"kind": "wheel", "package": "a", "version": "1", "sha256": "0" * 64, "member": "a.csv"}, WheelSource),
    ],
)
def test_the_kind_decides_what_a_source_is(content: dict[str, object], kind: type) -> None:
    source = _SOURCE.validate_python(content)

    assert type(source) is kind
    assert source.describe()


@pytest.mark.parametrize(
    "content", [{"kind": "ftp"}, {"path": "people.csv"}, {"kind": "file", "path": "a", "x": 1}]
)
def test_an_unknown_kind_or_key_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        _SOURCE.validate_python(content)


@pytest.mark.parametrize("content", [{}, {"id": 1, "name": "adult", "version": 2}, {"name": "adult"}])
def test_an_openml_source_names_one_unchanging_data_set(content: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OpenmlSource.model_validate(content)


def test_the_parts_of_the_census_are_members_of_one_wheel() -> None:
    parts = [census_employment(part) for part in CensusPart]

    assert len({part.sha256 for part in parts}) == 1
    assert len({part.member for part in parts}) == len(CensusPart)
