"""Preparing foreign versions without making an environment for each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from runners.mlmodel import MlModel
from runners.preparation import Preparer
from runners.specification import RunnerSpecification


class HerePreparer(Preparer):
    """Takes this environment for every model's own."""

    def specify(
        self, model: MlModel, tell: Callable[[str], None] = lambda _: None, extra: tuple[str, ...] = ()
    ) -> RunnerSpecification:
        return RunnerSpecification(
            python=Path(sys.executable),
            model=model.folder.absolute(),
            flavour=model.flavour,
            code_paths=model.code_paths,
            serialization=model.serialization,
            trusted_types=model.trusted_types,
            inputs=model.inputs,
        )
