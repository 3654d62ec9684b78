"""Commands in a folder whose modules are called like those that we, and Python, are made of: none is imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.frontends.running import PATIENCE, environment, eventually, write_recipe

PYTHON_M = [sys.executable, "-m", "trio_recipes"]
SAFELY = [sys.executable, "-P", "-m", "trio_recipes"]
"""As the installed command does it: without the current folder."""

BEFORE_US = {
    "importlib",
    "warnings",
    "contextlib",
    "collections",
    "keyword",
    "operator",
    "reprlib",
    "functools",
    "types",
}
"""What Python itself looks for in the current folder, before any module that it was asked for has a say."""

TRAP = """
import os
with open(os.environ["TRAPS"], "a") as traps:
    traps.write(__name__ + " ")
"""

STEPS = """
- {id: hello, type: bash, command: echo hello}
- {id: mine, type: function, function: "project_code:answer", output: mine}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project full of traps, with a recipe and the one module that it means."""
    folder = tmp_path / "project"
    folder.mkdir()
    write_recipe(folder, STEPS)
    (folder / "project_code.py").write_text("def answer():\n    return 42\n")
    return folder


def lay_traps(folder: Path, spared: Iterable[str] = ()) -> None:
    names = {*sys.stdlib_module_names, *packages_distributions(), "sitecustomize", "usercustomize"}
    for name in names - {"trio_recipes", "__future__", *spared}:
        (folder / f"{name}.py").write_text(TRAP)


def caught(folder: Path) -> list[str]:
    """Modules of the project that were imported."""
    traps = folder.parent / "traps"
    return traps.read_text().split() if traps.exists() else []


def command(program: list[str], folder: Path, *arguments: str) -> str:
    """What a command prints in that folder."""
    ran = subprocess.run(
        [*program, *arguments, "--store", str(folder.parent / "store")],
        cwd=folder,
        env=environment(TRAPS=str(folder.parent / "traps")),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, f"{arguments}: {ran.stderr} {caught(folder)}"
    return ran.stdout


@pytest.mark.parametrize("program", [PYTHON_M, SAFELY], ids=["python -m", "python -P -m"])
def test_no_module_of_the_project_stands_in_for_one_of_ours(project: Path, program: list[str]) -> None:
    lay_traps(project, BEFORE_US if program is PYTHON_M else ())
    for looking in ("validate probe.yaml", "graph probe.yaml", "list --all", "agents", "run probe.yaml", "show @last"):
        command(program, project, *looking.split())
    assert "completed" in command(program, project, "list", "--all")
    assert caught(project) == []
    command(program, project, "export", "@last", "out.jsonl")
    command(program, project, "run", "probe.yaml", "--detach")
    eventually(lambda: command(program, project, "list", "--all").count("completed") == 2)
    assert caught(project) == []


@pytest.mark.parametrize("option", ["-Ximporttime", "-Wdefault:some", "-B"])
def test_options_of_python_make_no_difference(project: Path, option: str) -> None:
    """Values of options may have an ``m`` in them, too."""
    (project / "yaml.py").write_text(TRAP)
    command([sys.executable, option, "-m", "trio_recipes"], project, "validate", "probe.yaml")
    command([sys.executable, "-bm", "trio_recipes"], project, "validate", "probe.yaml")
    assert caught(project) == []


def test_what_the_project_means_is_found_all_the_same(project: Path) -> None:
    assert '"final_output":42' in command(PYTHON_M, project, "run", "probe.yaml", "--json")


def test_a_program_that_imports_us_keeps_its_folder(project: Path) -> None:
    """``python -m pytest -m trio_recipes``, say: what that looks for in its folder is not ours to change."""
    (project / "host").mkdir()
    (project / "host" / "__init__.py").write_text("import trio_recipes\n")
    (project / "host" / "__main__.py").write_text("import project_code\nprint(project_code.answer())\n")
    assert command([sys.executable, "-m", "host", "-m", "trio_recipes"], project) == "42\n"
