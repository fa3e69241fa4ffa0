"""References are read as people write them, and written back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InvalidReferenceError
from registry.reference import Reference

NAMES = st.from_regex(r"[a-z][a-z0-9_. -]{0,10}[a-z0-9]", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("credit@champion", "credit@champion"),
        ("credit/3", "credit/3"),
        ("models:/credit/3", "credit/3"),
        ("models:/credit@challenger", "credit@challenger"),
        ("credit", "credit@champion"),
        ("  two words/12 ", "two words/12"),
    ],
)
def test_every_spelling_is_read(text: str, written: str) -> None:
    assert str(Reference.parse(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@champion",
        "credit@",
        "credit@two words",
        "credit/",
        "credit/latest",
        "credit/0",
        "credit/3/4",
        "credit@3",
        "models:/",
        "runs:/abc/model",
        "credit@a@b",
        "a:b",
        "credit@v12",
        "credit/-1",
        "credit/1.0",
    ],
)
def test_anything_else_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(InvalidReferenceError, match="write name@alias"):
        Reference.parse(text)


@given(NAMES, st.integers(1, 10**6))
def test_a_reference_survives_being_written(name: str, version: int) -> None:
    for reference in (Reference(name, version=str(version)), Reference(name, alias="champion")):
        assert Reference.parse(str(reference)) == reference
        assert Reference.parse(f"models:/{reference}") == reference


def test_a_reference_needs_exactly_one_of_version_and_alias() -> None:
    with pytest.raises(InvalidReferenceError):
        Reference("credit")
    with pytest.raises(InvalidReferenceError):
        Reference("credit", version="1", alias="champion")
