"""The house's rules that no linter knows: floors for everything, sizes, doors, pure modules, drawn error trees."""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = {contract["id"]: contract for contract in PYPROJECT["tool"]["importlinter"]["contracts"]}
PACKAGES = sorted(PYPROJECT["tool"]["importlinter"]["root_packages"])
FRONT_DOOR = "service"  # a single file, which import-linter cannot take for a root package
FOLDERS_WITHOUT_FLOOR = {"docs", "tests", "deploy"}
HARD_LIMIT_LINES = 400
ONE_SCREEN_LINES = 80

IMPURE_MODULES = {"os", "pathlib", "random", "secrets", "time", "subprocess", "socket", "logging", "tempfile"}
IMPURE_CALLS = {"now", "utcnow", "today", "getenv", "open", "default_rng", "uuid1", "uuid4"}
PURE_FILES = [*(ROOT / "fairness").glob("*.py"), ROOT / "rollout" / "assignment.py"]


def source_files(*roots: str) -> list[Path]:
    files: list[Path] = []
    for root in roots:
        path = ROOT / root
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [file for file in files if "migrations" not in file.parts]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


OURS = source_files(*PACKAGES, FRONT_DOOR)
OURS_AND_TESTS = [*OURS, *source_files("tests")]


def layer_names() -> list[str]:
    return [name.strip("() ") for layer in CONTRACTS["floors"]["layers"] for name in re.split(r"[|:]", layer)]


def imported_modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def called_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr


# ---- every package has a floor ----


def test_every_top_level_folder_and_module_has_a_floor_or_is_known_to_need_none() -> None:
    ignored = {line.strip().rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()}
    folders = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in ignored
    }
    modules = {path.stem for path in ROOT.glob("*.py")}
    assert folders - FOLDERS_WITHOUT_FLOOR | modules == {*PACKAGES, FRONT_DOOR}


def test_every_package_stands_on_exactly_one_floor() -> None:
    assert sorted(layer_names()) == PACKAGES


def test_one_door_contracts_speak_of_every_package() -> None:
    doors = {
        "mlflow": {"registry", "tracking", "training"},
        "wandb": {"tracking"},
        "bentoml": {"bentos"},
        "prometheus": {"monitoring"},
        "treelite": {"inference", "compilation"},
        "fairlearn": {"loadtests", "training"},
    }
    for contract, allowed in doors.items():
        assert set(CONTRACTS[contract]["source_modules"]) == set(PACKAGES) - allowed, contract


def test_types_and_the_installed_package_cover_every_package() -> None:
    typed = {*PYPROJECT["tool"]["mypy"]["packages"], *PYPROJECT["tool"]["mypy"]["modules"]}
    assert typed == {*PACKAGES, FRONT_DOOR}
    installed = set(PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert installed == set(PACKAGES) - {"loadtests"}


def test_the_front_door_stands_on_the_top_floor() -> None:
    importing = {named(path): set(imported_modules(ast.parse(path.read_text(encoding="utf-8")))) for path in OURS}
    assert [name for name, modules in importing.items() if FRONT_DOOR in modules] == []
    reached = {module.split(".")[0] for module in importing[f"{FRONT_DOOR}.py"]}
    foreign_doors = {module for contract in CONTRACTS.values() for module in contract.get("forbidden_modules", ())}
    allowed = {"bentoml", *PACKAGES} - {"cli", "loadtests", "training"}
    assert reached & (foreign_doors | {*PACKAGES}) <= allowed


def test_unit_tests_mirror_the_packages() -> None:
    unit = ROOT / "tests" / "unit"
    assert {path.name for path in unit.iterdir() if path.is_dir() and path.name != "__pycache__"} <= set(PACKAGES)


# ---- shape of a file ----


@pytest.mark.parametrize("path", OURS_AND_TESTS, ids=named)
def test_no_file_is_longer_than_the_hard_limit(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= HARD_LIMIT_LINES, "split it by noun"


def test_the_front_door_stays_on_one_screen() -> None:
    assert len((ROOT / "service.py").read_text(encoding="utf-8").splitlines()) <= ONE_SCREEN_LINES


@pytest.mark.parametrize("path", [path for path in OURS if path.name == "__init__.py"], ids=named)
def test_a_package_init_holds_one_docstring_and_nothing_else(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree)
    assert len(tree.body) == 1
    assert docstring is not None
    assert len(docstring.split()) > 3, "say what the package does"


def test_tests_hold_no_init_that_would_shadow_a_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


@pytest.mark.parametrize("path", OURS_AND_TESTS, ids=named)
def test_nothing_is_left_to_do_and_no_check_is_silenced_wholesale(path: Path) -> None:
    forbidden = re.compile(
        r"#.*\b(TO[D]O|FIX[M]E|XX[X])\b|#\stype: ignore(?!\[)|#\snoqa(?!: [A-Z])|#\spragma: no cover"
    )
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [f"{number}: {line.strip()}" for number, line in enumerate(lines, 1) if forbidden.search(line)] == []


# ---- who may do what ----


@pytest.mark.parametrize("path", PURE_FILES, ids=named)
def test_a_pure_module_reads_no_clock_disk_environment_or_random_source(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert {name.split(".")[0] for name in imported_modules(tree)} & IMPURE_MODULES == set()
    assert set(called_names(tree)) & IMPURE_CALLS == set()


def test_database_engines_are_made_in_one_place() -> None:
    makers = {"create_engine", "create_async_engine", "engine_from_config"}
    calling = {
        named(path) for path in OURS if makers & set(called_names(ast.parse(path.read_text(encoding="utf-8"))))
    }
    in_database = {name for name in calling if name.startswith("database/")}
    assert in_database, "nothing in database/ makes an engine: this test looks for the wrong names"
    assert calling - in_database <= {"sources/sql.py"}, "a user's own database is the one exception"


def test_tests_use_fakes_instead_of_mocks() -> None:
    mocking = [
        named(path)
        for path in source_files("tests")
        if {"unittest.mock", "mock", "pytest_mock"}
        & set(imported_modules(ast.parse(path.read_text(encoding="utf-8"))))
    ]
    assert mocking == []


# ---- errors ----

ERROR_MODULES = [path for path in OURS if path.name == "errors.py" and path.parent.name != "bentos"]


@pytest.mark.parametrize("path", ERROR_MODULES, ids=named)
def test_the_error_tree_is_drawn_in_full_and_has_one_base(path: Path) -> None:
    module = importlib.import_module(f"{path.parent.name}.errors")
    errors = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == module.__name__
    ]
    drawn = set(re.findall(r"\w+", module.__doc__ or ""))
    assert {error.__name__ for error in errors} <= drawn
    bases = [error for error in errors if not any(other in error.__mro__[1:] for other in errors)]
    assert len(bases) == 1, f"more than one base: {[base.__name__ for base in bases]}"
