"""The documents: links resolve, decisions are whole, settings and commands are described, generated files fresh."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from cli.app import app
from rollout.plan import Plan

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
DECISIONS = sorted((DOCS / "adr").glob("[0-9]*.md"))
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")

WELL_KNOWN_SETTINGS = ["FAIRMIND_HOME", "FAIRMIND_DATABASE_URL", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_within_the_repository_resolve(page: Path) -> None:
    broken = []
    for match in LINK.finditer(text(page)):
        target = match.group(1) or match.group(2)
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = page if not path else (page.parent / path)
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", DECISIONS, ids=named)
def test_a_decision_has_context_decision_and_consequences_on_one_page(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", text(page), flags=re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences"]
    assert len(text(page).splitlines()) <= 60


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    index = text(DOCS / "adr" / "README.md")
    assert [page.name for page in DECISIONS if page.name not in index] == []


def test_the_changelog_has_a_place_for_what_is_not_released() -> None:
    assert "\n## [Unreleased]\n" in text(ROOT / "CHANGELOG.md")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_page_names_a_path_of_the_machine_it_was_written_on(page: Path) -> None:
    assert re.findall(r"/(?:home|root|Users|work|tmp)/\S+", text(page)) == []


def test_the_architecture_page_describes_every_package() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))
    page = text(DOCS / "architecture.md")
    packages = project["tool"]["importlinter"]["root_packages"]
    assert [name for name in packages if f"| `{name}/` |" not in page] == []


@pytest.mark.parametrize(
    ("page", "arguments"), [("docs/configuration.md", []), (".env.example", ["env"])], ids=["page", "env"]
)
def test_what_is_written_about_settings_is_what_the_settings_say(page: str, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "bentos.configuration", *arguments]
    generated = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert text(ROOT / page) == generated, "stale: make generate"


@pytest.mark.parametrize("name", WELL_KNOWN_SETTINGS)
def test_settings_that_a_user_was_promised_are_on_the_configuration_page(name: str) -> None:
    assert f"`{name}`" in text(DOCS / "configuration.md")


def test_every_setting_named_in_the_documents_is_on_the_configuration_page() -> None:
    described = text(DOCS / "configuration.md")
    used = {name for page in PAGES for name in re.findall(r"\bFAIRMIND_[A-Z_]+\b", text(page))}
    assert {name for name in used if name not in described} == set()


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), flags=re.MULTILINE))
    pages = [text(page) for page in PAGES]
    used = {name for page in pages for name in re.findall(r"(?:`|^)make ([a-z-]+)", page, flags=re.MULTILINE)}
    assert used - targets == set()


def test_make_help_lists_every_target_a_person_would_call() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in [
        "setup",
        "demo",
        "test",
        "test-all",
        "check",
        "format",
        "lint",
        "bench",
        "loadtest",
        "release-check",
    ]:
        assert f"make {target} " in shown


def commands(group: Any, path: str = "fairmind") -> Iterator[tuple[str, Any]]:
    """Return every command that does something, by what one types to call it."""
    children = getattr(group, "commands", None)
    if children is None:
        yield path, group
        return
    for name, child in children.items():
        yield from commands(child, f"{path} {name}")


def command_row(typed: str, command: Any) -> str:
    """Return how the page of commands shows one: what to type, then the first line of its help."""
    words = [typed]
    for parameter in command.params:
        if parameter.name in {"as_json", "help"}:
            continue
        value = parameter.metavar or str(parameter.name).upper()
        word = value
        if parameter.param_type_name == "option":
            word = max(parameter.opts, key=len) + ("" if parameter.is_flag else f" {value}")
        words.append(word if parameter.required else f"[{word}]")
    return f"| `{' '.join(words)}` | {command.help.strip().splitlines()[0]} |"


def test_the_page_of_commands_shows_every_command_as_its_help_does() -> None:
    page = [line for line in text(DOCS / "cli.md").splitlines() if line.startswith("| `fairmind ")]
    assert page == [command_row(typed, command) for typed, command in commands(get_command(app))]


def test_the_plan_on_the_page_of_commands_is_one() -> None:
    (plan,) = re.findall(r"^```yaml\n(.+?)^```", text(DOCS / "cli.md"), flags=re.MULTILINE | re.DOTALL)
    assert Plan.parse(yaml.safe_load(plan)).steps[0].weight == 0.1


def test_the_cost_in_the_readme_is_the_one_that_was_measured() -> None:
    (told,) = re.findall(r"about ([\d.]+) times the CPU of a bare web server", text(ROOT / "README.md"))
    single = text(DOCS / "benchmarks.md").partition("## One row per request")[2].partition("\n## ")[0]
    row = r"^\| {} \| ([\d,]+) \|"
    ours, floor = (
        float(found.replace(",", ""))
        for server in (r"\*\*FairMind Serving\*\*, `POST /predict`", "bare ASGI [^|]+")
        for found in re.findall(row.format(server), single, flags=re.MULTILINE)
    )
    assert ours / floor == pytest.approx(float(told), rel=0.2)


def test_results_that_scripts_read_are_said_to_be_json_by_every_command_that_prints_any() -> None:
    silent = {
        typed for typed, command in commands(get_command(app)) if "as_json" not in {p.name for p in command.params}
    }
    assert silent == {"fairmind demo", "fairmind rollout controller", "fairmind serve"}


def test_every_fairmind_command_in_the_documents_exists() -> None:
    root = get_command(app)
    pages = "\n".join(text(page) for page in PAGES if page.name != "cli.md")
    lines = re.findall(r"(?:^|`)fairmind ([a-z][^#`\n]*)", pages, flags=re.MULTILINE)
    assert lines
    for line in lines:
        command: Any = root
        for word in line.split():
            children = getattr(command, "commands", None)
            if children is None:
                break
            assert word in children, f"fairmind {line}"
            command = children[word]
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", line)) <= options, f"fairmind {line}"


def test_the_bento_holds_every_package_that_serves_and_the_locked_requirements() -> None:
    bento = yaml.safe_load(text(ROOT / "bentofile.yaml"))
    project = tomllib.loads(text(ROOT / "pyproject.toml"))
    serving = set(project["tool"]["importlinter"]["root_packages"]) - {"cli", "loadtests", "training"}
    assert {pattern.strip("/*") for pattern in bento["include"] if pattern.endswith("/**")} == serving
    assert (ROOT / bento["python"]["requirements_txt"]).exists()
    assert bento["python"]["lock_packages"] is False


def test_ci_runs_what_the_readme_calls() -> None:
    ci = ROOT / ".ci" / "run"
    assert ci.stat().st_mode & 0o100, ".ci/run is not executable"
    assert "make check" in text(ci)
    recipe = re.search(r"^check: (.+?)(?: ##|$)", text(ROOT / "Makefile"), flags=re.MULTILINE)
    assert recipe is not None
    assert {"lint", "test"} <= set(recipe.group(1).split())
