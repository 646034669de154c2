"""The import contracts of `pyproject.toml` are broken by what they are there to forbid.

They are tried on a skeleton: packages of the same names, and one module of the training that
imports something.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HELD_OUT = "Training never sees the held-out answers"
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    for package in linter["root_packages"]:
        write(tmp_path, package)
    for contract in linter["contracts"]:
        for module in contract.get("forbidden_modules", ()):
            if module.partition(".")[0] in linter["root_packages"]:
                write(tmp_path, module)
    return tmp_path


def write(folder: Path, module: str, *imports: str) -> None:
    """Makes a module, as a package."""
    place = folder.joinpath(*module.split("."))
    place.mkdir(parents=True, exist_ok=True)
    (place / "__init__.py").write_text("".join(f"import {each}\n" for each in imports))


def lint(folder: Path) -> tuple[bool, str]:
    """Whether all contracts are kept, and what was said."""
    command = [sys.executable, "-c", LINT, "--no-cache"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode == 0, " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    "module",
    ["evaluation.questions.build", "evaluation.benchmarks", "evaluation.sources.load"],
)
def test_training_that_imports_held_out_questions_breaks_the_contract(
    skeleton: Path, module: str
) -> None:
    write(skeleton, module)
    write(skeleton, "training.cheat", module)
    kept, said = lint(skeleton)
    assert not kept
    assert f"{HELD_OUT} BROKEN" in said
    assert f"training.cheat -> {module}" in said


def test_a_way_round_through_another_module_breaks_it_too(skeleton: Path) -> None:
    write(skeleton, "evaluation.judging", "evaluation.sources")
    write(skeleton, "training.rewards", "evaluation.judging")
    kept, said = lint(skeleton)
    assert not kept
    assert f"{HELD_OUT} BROKEN" in said


def test_training_may_import_scoring_and_judging(skeleton: Path) -> None:
    for module in ("evaluation.scoring", "evaluation.judging"):
        write(skeleton, module)
    write(skeleton, "training.rewards", "evaluation.scoring", "evaluation.judging")
    kept, said = lint(skeleton)
    assert kept, said
    assert f"{HELD_OUT} KEPT" in said
