"""From a trained model to a registered version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from compilation.parity import Proof
from monitoring.profile import ReferenceProfile
from registry.gate_record import GateRecord, GateResult
from registry.reference import Reference
from training.artifact import FAIRMIND_FOLDER, bind_gates, write_model
from training.features import Features
from training.score_counts import ScoreCounts
from training.store import Run
from training.version_files import version_files


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fitted model with everything that its version is registered with.

    `rows` are feature rows to prove the compiled form on, `trusted` the types its stored form may hold, `tags`
    facts that are looked up by those who only have the version, `bias_policy` what the bias gates were measured by.
    `scores` are None where no threshold decides, `profile` where nothing is to be compared with the training rows.
    """

    name: str
    pipeline: Pipeline
    features: Features
    rows: pd.DataFrame
    trusted: list[str]
    gates: tuple[GateResult, ...]
    tags: Mapping[str, str]
    bias_policy: Mapping[str, Any] | None = None
    scores: ScoreCounts | None = None
    profile: ReferenceProfile | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered version, with its gate record and the proof of its compiled form."""

    reference: Reference
    gates: GateRecord
    proof: Proof


def register(run: Run, candidate: Candidate) -> Registered:
    """Store and register a candidate as the newest version of its model.

    The version is made by the last call, with its tags: a training that breaks off leaves none behind.

    Raises:
        NotServableError: the model cannot be stored or compiled, or the compiled form answers otherwise.
        TrackingError: the store refuses or cannot be reached.
    """
    with version_files(run, candidate.name) as files:
        _, proof = write_model(
            files.folder,
            candidate.pipeline,
            entry=files.entry,
            features=candidate.features,
            rows=candidate.rows,
            trusted=candidate.trusted,
        )
        if candidate.scores is not None:
            candidate.scores.save(files.folder / FAIRMIND_FOLDER)
        if candidate.profile is not None:
            candidate.profile.save(files.folder / FAIRMIND_FOLDER)
        record = bind_gates(files.folder, candidate.gates, candidate.bias_policy)
    return Registered(files.register(record, candidate.tags), record, proof)
