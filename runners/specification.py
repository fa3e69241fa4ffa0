"""How a model is run in a process of its own, as stored beside its signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

SPECIFICATION_FILE: Final = "runner.json"


class RunnerSpecification(BaseModel):
    """Which interpreter runs which MLflow model folder, and what the model takes.

    Paths are absolute; `code_paths` are relative to the model folder and come first on the child's `sys.path`.
    `inputs` and `params` are MLflow's own descriptions (the JSON of ColSpec, TensorSpec and ParamSpec), None where
    the model has no such signature. `serialization` and `trusted_types` are of the scikit-learn flavour. `data` is
    the model's file, checked to lie within the folder. `runs_code` says whether loading it runs what came with it;
    it is looked at again before each use, because a registry that was trusted may be trusted no longer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    python: Path
    model: Path
    data: str | None = None
    runs_code: bool = True
    flavour: Literal["sklearn", "python_function", "xgboost", "lightgbm"]
    code_paths: tuple[str, ...] = ()
    loader_module: str | None = None
    serialization: Literal["cloudpickle", "pickle", "skops"] | None = None
    trusted_types: tuple[str, ...] = ()
    inputs: tuple[dict[str, Any], ...] | None = None
    params: tuple[dict[str, Any], ...] | None = None
