from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sources.errors import HashMismatchError, SourceNotFoundError, SourceUnavailableError
from sources.named import german_credit
from sources.wheel import WheelSource

MEMBER = "carrier/data/people.csv"


def _source(sha256: str, member: str = MEMBER) -> WheelSource:
    return WheelSource(package="carrier", version="1.0", sha256=sha256, member=member)


def test_a_member_of_a_wheel_is_read_and_the_wheel_is_never_imported(make_carrier: Any, tmp_path: Path) -> None:
    frame = _source(make_carrier().sha256).read(tmp_path / "data")

    assert frame["name"].tolist() == ["ada", "alan"]
    assert frame["age"].tolist() == [36, 41]
    assert "carrier" not in sys.modules


def test_a_second_read_needs_no_index(make_carrier: Callable[[], Any], tmp_path: Path) -> None:
    carrier = make_carrier()
    source = _source(carrier.sha256)
    first = source.read(tmp_path / "data")
    carrier.path.unlink()

    assert source.read(tmp_path / "data").equals(first)


def test_a_wheel_that_is_not_the_pinned_one_is_refused_and_leaves_nothing(
    make_carrier: Any, tmp_path: Path
) -> None:
    make_carrier()
    with pytest.raises(HashMismatchError, match=r"carrier==1\.0 on the package index is not the file"):
        _source("0" * 64).read(tmp_path / "data")

    assert list((tmp_path / "data" / "wheels").iterdir()) == []


def test_a_stored_member_that_was_changed_is_refused(make_carrier: Any, tmp_path: Path) -> None:
    source = _source(make_carrier().sha256)
    source.read(tmp_path / "data")
    (stored,) = (tmp_path / "data").rglob("people.csv")
    stored.write_text("name,age\neve,0\n")

    with pytest.raises(HashMismatchError, match="delete the folder"):
        source.read(tmp_path / "data")


def test_a_member_that_is_not_in_the_wheel_is_named(make_carrier: Any, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"carrier/data/pets\.csv in the wheel carrier==1\.0"):
        _source(make_carrier().sha256, "carrier/data/pets.csv").read(tmp_path / "data")


def test_a_member_outside_of_the_wheel_is_not_read(make_carrier: Any, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SourceNotFoundError):
        _source(make_carrier().sha256, "../../../secret.csv").read(tmp_path / "data")


def test_an_index_without_the_wheel_is_one_line(make_carrier: Any, tmp_path: Path) -> None:
    carrier = make_carrier()
    carrier.path.unlink()
    with pytest.raises(SourceUnavailableError) as caught:
        _source(carrier.sha256).read(tmp_path / "data")

    assert str(caught.value).startswith("cannot fetch the wheel carrier==1.0: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("package", ["--index-url", "a b", "carrier; rm", ""])
def test_a_package_name_cannot_be_an_option(package: str) -> None:
    with pytest.raises(ValidationError):
        WheelSource(package=package, version="1.0", sha256="0" * 64, member=MEMBER)


def test_the_german_credit_data_comes_from_its_wheel(tmp_path: Path) -> None:
    frame = german_credit().read(tmp_path)

    assert len(frame) == 1000
    assert set(frame["risk"]) == {0, 1}
    assert set(frame["sex"]) == {"female", "male"}
