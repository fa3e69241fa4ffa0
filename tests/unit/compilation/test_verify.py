"""What is stored is proven again, as it is stored."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from sklearn import ensemble

from compilation.candidates import candidates
from compilation.verify import verify
from inference.errors import ParityError, RuntimeLoadError
from tests.fakes.pipelines import fitted, labels, people


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, Path]:
    folder, frame = tmp_path_factory.mktemp("version"), people()
    model = fitted(ensemble.RandomForestClassifier(5, random_state=0), frame, labels(frame))
    made = {one.name: one.compiled for one in candidates(model, frame) if one.compiled is not None}
    dataclasses.replace(made["onnx-trees"], larger=(made["treelite"].runtime, 32)).save(folder / "fairmind")
    return model, folder


def test_what_is_stored_is_proven_again(version) -> None:
    model, folder = version
    proof = verify(folder, model, people(seed=3))
    assert (proof.rows, proof.decisions_changed) == (120, 0)
    assert proof.largest_difference < 1e-9


@pytest.mark.parametrize("swapped", ["runtime-0", "runtime-1"])
def test_a_runtime_of_another_model_is_found(version, swapped: str, tmp_path: Path) -> None:
    model, folder = version
    frame = people()
    other = fitted(ensemble.RandomForestClassifier(5, random_state=1), frame, labels(frame))
    made = {one.name: one.compiled for one in candidates(other, frame) if one.compiled is not None}
    dataclasses.replace(made["onnx-trees"], larger=(made["treelite"].runtime, 32)).save(tmp_path / "fairmind")
    kept = next(name for name in ("runtime-0", "runtime-1") if name != swapped)
    for file in (tmp_path / "fairmind" / kept).iterdir():
        file.write_bytes((folder / "fairmind" / kept / file.name).read_bytes())
    with pytest.raises(ParityError):
        verify(tmp_path, model, frame)


def test_a_damaged_version_cannot_be_verified(version, tmp_path: Path) -> None:
    with pytest.raises(RuntimeLoadError):
        verify(tmp_path, version[0], people())
