"""What must hold of the repository as a whole."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deployments.cli.versions import pinned

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agents", "deployments", "evaluation", "flows", "tasks", "training")


def project_files() -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("package", PACKAGES)
def test_top_level_packages_are_those_of_this_repository(package: str) -> None:
    """`agents` in particular is also what another distribution calls itself."""
    module = importlib.import_module(package)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().parent == ROOT / package


def normalised(requirement: str) -> str:
    """Name of a requirement as indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[ ;]", requirement)[0]).lower()


def imported_packages(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_imports_is_declared(package: str) -> None:
    """Not left to what another dependency happens to bring along."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {
        normalised(name)
        for name in [
            *project["dependencies"],
            *extras["browser"],
            *extras["deepspeed"],
            *extras["plots"],
        ]
    }
    of_module = importlib.metadata.packages_distributions()
    # A distribution's own compiled part, versioned with it.
    parts = {"pydantic-core": "pydantic"}
    for path in (ROOT / package).rglob("*.py"):
        for module in imported_packages(path):
            names = {normalised(name) for name in of_module.get(module, [module])}
            assert {parts.get(name, name) for name in names} & declared, (path.name, module)


def test_constraints_pin_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        requirements += extra
    names = {normalised(requirement) for requirement in requirements}
    assert len(names) > 20
    assert names - set(pinned(ROOT / "constraints.txt")) == set()


def test_constraints_name_no_build_and_no_place() -> None:
    """A build (`+cpu`) or an index would tie the installation to one kind of machine."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    rows = [line for line in lines if line and not line.startswith("#")]
    assert [row for row in rows if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", row)] == []


def test_no_text_names_a_registry_host() -> None:
    """Where packages come from is the machine's own setting."""
    hosts = [
        "pypi" + ".org",
        "pythonhosted" + ".org",
        "download.py" + "torch.org",
        "npmjs" + ".com",
    ]
    named = [
        (path.relative_to(ROOT), host)
        for path in project_files()
        for host in hosts
        if host.encode() in path.read_bytes()
    ]
    assert named == []


def test_no_test_folder_shadows_a_package() -> None:
    """`tests/unit/agents/__init__.py` would make pytest import it as `agents`."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_test_files_have_unique_names() -> None:
    """Without packages, two test files of one name cannot be imported side by side."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert {name for name in names if names.count(name) > 1} == set()


@pytest.mark.parametrize(
    "modules",
    [
        "flows.config, flows.profiles",
        "deployments.cli.main, deployments.cli.run, deployments.cli.stages, deployments.cli.ask",
        "deployments.cli.store, deployments.cli.inputs, deployments.cli.doctor",
        "deployments.cli.lineage, deployments.cli.care",
    ],
)
def test_configuration_and_command_line_import_nothing_heavy(modules: str) -> None:
    code = (
        f"import sys, {modules}\n"
        "heavy = {'torch', 'transformers', 'trl', 'vllm', 'prefect', 'datasets'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in (path for path in project_files() if path.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append((str(page.relative_to(ROOT)), target))
    assert broken == []
