"""What an MLflow model folder says of itself: how it is loaded, what it takes, and what it needs to run.

The folder comes from elsewhere. Nothing in it is run or trusted here: YAML is read by its safe loader, and every
path it names has to lie within the folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

import yaml
from packaging.specifiers import SpecifierSet

from runners.errors import MlModelError

Flavour = Literal["sklearn", "python_function", "xgboost", "lightgbm"]
Serialization = Literal["cloudpickle", "pickle", "skops"]
Specs = tuple[dict[str, Any], ...]

HARMLESS_TYPES: Final = frozenset(
    {
        "numpy.dtype",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    }
)
"""Types that skops does not trust by itself and that run no code when they are loaded."""

_MLMODEL: Final = "MLmodel"
_NATIVE: Final[tuple[Flavour, ...]] = ("sklearn", "xgboost", "lightgbm")
_PICKLES: Final = frozenset({".pkl", ".pickle", ".joblib", ".dill"})
_PIN: Final = re.compile(r"([A-Za-z0-9._-]+)==[0-9][0-9A-Za-z.]*")
_LIBRARIES: Final = frozenset({"joblib", "numpy", "pandas", "scikit-learn", "scipy", "skops", "threadpoolctl"})
_SAFE_SKOPS: Final = ">=0.13"  # older ones can be made to run code by a file (CVE-2025-54412, -54413, -54886)
_CONDA_PIN: Final = re.compile(r"([A-Za-z0-9_.-]+)=([0-9][^=]*)(=.*)?")


@dataclass(frozen=True, slots=True)
class MlModel:
    """An MLflow model folder as its `MLmodel` file describes it.

    `data` is the model's own file or folder, relative to `folder`; `inputs`, `outputs` and `params` are MLflow's
    descriptions as JSON, None where the model has none; `python` is the version it was saved with; `example` is its
    saved input example, with the type MLflow gave it.
    """

    folder: Path
    flavour: Flavour
    data: str | None
    loader_module: str | None
    serialization: Serialization | None
    trusted_types: tuple[str, ...]
    code_paths: tuple[str, ...]
    inputs: Specs | None
    outputs: Specs | None
    params: Specs | None
    python: str | None
    requirements: tuple[str, ...]
    example: Path | None
    example_type: str | None

    def code(self) -> list[str]:
        """Return what of the version is code that would run when it is loaded; nothing where it is data only."""
        held = [f"code of its own ({path}/)" for path in self.code_paths]
        if self.serialization == "skops":
            others = sorted(set(self.trusted_types) - HARMLESS_TYPES)
            held += [f"types that skops does not trust ({others[0]})"] if others else []
        elif self.serialization is not None:
            held.append(f"a pickle ({self.data})")
        else:
            pickles = sorted(p.name for p in self.folder.rglob("*") if p.suffix in _PICKLES and p.is_file())
            held += [f"a pickle ({name})" for name in pickles[:1]]
            held.append(f"a model that {self.loader_module} loads")
        return held

    def harmless_requirements(self) -> tuple[str, ...]:
        """Return the requirements that may be installed for data from anywhere: well-known libraries, pinned.

        Installing a package can run what its author wrote, so that a list from elsewhere is code as well. It may
        also ask for a reader of data whose holes are known: skops is none of the releases that have them.
        """
        pins = [_PIN.fullmatch(line.split(";")[0].strip()) for line in self.requirements]
        kept = {pin.group(1).lower(): pin.group(0) for pin in pins if pin and pin.group(1).lower() in _LIBRARIES}
        if not SpecifierSet(_SAFE_SKOPS).contains(kept.get("skops", "").partition("==")[2] or "0"):
            kept["skops"] = f"skops{_SAFE_SKOPS}"
        return tuple(kept.values())

    def top_level_names(self) -> set[str]:
        """Return the names of packages and modules that the model's own code paths hold."""
        names: set[str] = set()
        for path in self.code_paths:
            for entry in (self.folder / path).iterdir():
                if entry.is_dir() or entry.suffix == ".py":
                    names.add(entry.stem)
        return names


def read_mlmodel(folder: Path) -> MlModel:
    """Return what the MLflow model in `folder` says of itself.

    Raises:
        MlModelError: It is no MLflow model, is damaged, names a path outside of itself, or has no flavour that can
            be asked for predictions.
    """
    head = _yaml(folder, _MLMODEL)
    flavours = _mapping(head.get("flavors"))
    pyfunc = _mapping(flavours.get("python_function"))
    if not pyfunc:
        known = ", ".join(sorted(map(str, flavours))) or "none"
        raise MlModelError(
            folder, f"it has no python_function flavour, by which models predict (flavours: {known})"
        )
    loader = _text(pyfunc.get("loader_module"))
    flavour = next((name for name in _NATIVE if name in flavours and loader == f"mlflow.{name}"), "python_function")
    own = _mapping(flavours.get(flavour))
    signature = _mapping(head.get("signature"))
    example = _mapping(head.get("saved_input_example_info"))
    data = own.get("pickled_model") or own.get("data") or pyfunc.get("model_path") or pyfunc.get("data")
    serialization = _text(own.get("serialization_format")) if flavour == "sklearn" else None
    if flavour == "sklearn" and serialization is None:
        serialization = "pickle"  # what MLflow wrote before there was a choice
    if flavour == "sklearn" and serialization not in {"cloudpickle", "pickle", "skops"}:
        raise MlModelError(folder, f"its serialization format is {serialization!r}")
    code = own.get("code") or pyfunc.get("code")
    return MlModel(
        folder=folder,
        flavour=cast("Flavour", flavour),
        data=None if data is None else _within(folder, data),
        loader_module=loader,
        serialization=cast("Serialization | None", serialization),
        trusted_types=tuple(_listed(folder, own, "skops_trusted_types")),
        code_paths=() if code is None else (_within(folder, code),),
        inputs=_specs(folder, signature, "inputs"),
        outputs=_specs(folder, signature, "outputs"),
        params=_specs(folder, signature, "params"),
        python=_python(folder, pyfunc),
        requirements=_requirements(folder, own),
        example=None if not example.get("artifact_path") else folder / _within(folder, example["artifact_path"]),
        example_type=_text(example.get("type")),
    )


def is_mlmodel(folder: Path) -> bool:
    """Return whether the folder holds an MLflow model."""
    return (folder / _MLMODEL).is_file()


def _yaml(folder: Path, name: str) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MlModelError(folder, f"it has no {name} file: it is no MLflow model") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise MlModelError(folder, f"{name} cannot be read") from error
    if not isinstance(found, dict):
        raise MlModelError(folder, f"{name} is not a mapping")
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    """Return a plain value as text; what holds others may hold itself many times over, and is no text."""
    return str(value) if isinstance(value, (str, int, float)) else None


def _listed(folder: Path, values: Mapping[str, Any], name: str) -> list[str]:
    found = values.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise MlModelError(folder, f"its {name} is no list of texts")
    return found


def _within(folder: Path, path: Any) -> str:
    """Return the path as written; one that leads out of the folder, or to what no digest covers, is refused."""
    if not isinstance(path, str) or "\0" in path:
        raise MlModelError(folder, "it names a path that is none")
    resolved = (folder / path).resolve()
    if not resolved.is_relative_to(folder.resolve()):
        raise MlModelError(folder, "it names a path outside of its own folder")
    if any(part.startswith(".") for part in resolved.relative_to(folder.resolve()).parts):
        raise MlModelError(folder, "it names a hidden file, which the digest of a version does not cover")
    if not resolved.exists():
        raise MlModelError(folder, f"its {path[:200]} is missing")
    return path


def _specs(folder: Path, signature: Mapping[str, Any], part: str) -> Specs | None:
    text = signature.get(part)
    if text is None:
        return None
    try:
        specs = json.loads(text) if isinstance(text, str) else text
    except ValueError as error:
        raise MlModelError(folder, f"the {part} of its signature cannot be read") from error
    if not isinstance(specs, list) or not all(isinstance(spec, dict) for spec in specs):
        raise MlModelError(folder, f"the {part} of its signature are not a list of columns")
    return tuple(specs)


def _python(folder: Path, pyfunc: Mapping[str, Any]) -> str | None:
    if (folder / "python_env.yaml").is_file():
        version = _text(_yaml(folder, "python_env.yaml").get("python"))
        if version is not None:
            return version
    for dependency in _conda(folder):
        if isinstance(dependency, str) and (pin := re.fullmatch(r"python[=<>~! ]*([0-9.]+).*", dependency)):
            return pin.group(1)
    return _text(pyfunc.get("python_version"))


def _requirements(folder: Path, own: Mapping[str, Any]) -> tuple[str, ...]:
    path = folder / "requirements.txt"
    if path.is_file():
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError) as error:
            raise MlModelError(folder, f"{path.name} cannot be read") from error
        return tuple(line for line in lines if line and not line.startswith("#"))
    found: list[str] = []
    for dependency in _conda(folder):
        if isinstance(dependency, dict):
            found += _listed(folder, dependency, "pip")
        elif pin := _CONDA_PIN.fullmatch(_text(dependency) or ""):
            name, version, _ = pin.groups()
            found += [] if name in {"python", "pip"} else [f"{name}=={version}"]
    if not found and own.get("sklearn_version"):  # what MLflow wrote before it wrote requirements
        found.append(f"scikit-learn=={own['sklearn_version']}")
    return tuple(found)


def _conda(folder: Path) -> list[Any]:
    if not (folder / "conda.yaml").is_file():
        return []
    dependencies = _yaml(folder, "conda.yaml").get("dependencies")
    return dependencies if isinstance(dependencies, list) else []
