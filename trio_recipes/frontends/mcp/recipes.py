"""The recipes of a project's folder, found and described: nothing is run, imported or connected to. All blocks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trio_recipes.errors import InvalidCallError
from trio_recipes.frontends.diagrams.labels import gate_lines, loop_lines, step_lines
from trio_recipes.frontends.summary import shortened
from trio_recipes.language.load import load_recipe
from trio_recipes.sessions.recipes import validate_recipe

if TYPE_CHECKING:
    from trio_recipes.language.model import Recipe, Step
    from trio_recipes.sessions.sources import Sources

_SUFFIXES: Final = (".yaml", ".yml")
_NO_RECIPES: Final = frozenset({"node_modules", "__pycache__", "venv", "site-packages", "target", "build", "dist"})
_MOST_FOLDERS: Final = 2_000
_MOST_RECIPES: Final = 200
_HEAD_BYTES: Final = 65_536
_LOOKS_LIKE_ONE: Final = re.compile(rb"^name:.*^(?:steps|stages):", re.MULTILINE | re.DOTALL)


def find_recipes(project: str) -> list[str]:
    """Files below the project's folder that look like recipes, relative to it; in a huge folder, not all."""
    files = (file for folder in islice(_folders(project), _MOST_FOLDERS) for file in _documents(folder))
    found = (file for file in files if _is_inside(project, file) and _looks_like_recipe(file))
    return [str(file.relative_to(project)) for file in islice(found, _MOST_RECIPES)]


def _folders(project: str) -> Iterator[Path]:
    for folder, below, _ in os.walk(project):
        below[:] = sorted(name for name in below if not name.startswith(".") and name not in _NO_RECIPES)
        yield Path(folder)


def _documents(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.suffix in _SUFFIXES)
    except OSError:  # it has just gone, or isn't ours to read
        return []


def _looks_like_recipe(file: Path) -> bool:
    try:
        with file.open("rb") as document:
            return _LOOKS_LIKE_ONE.search(document.read(_HEAD_BYTES)) is not None
    except OSError:
        return False


def describe_recipe(project: str, path: str, sources: Sources) -> dict[str, Any]:
    """What a recipe is for, what it takes and does, and what is wrong with it.

    Raises:
        InvalidCallError: if the project's folder has no such file.
    """
    file = recipe_file(project, path)
    problems = validate_recipe(file, project=project, policy=sources.policy, bundles=sources.bundles)
    wrong = [str(problem) for problem in problems if not problem.warning]
    head = {"recipe_path": path, "valid": not wrong, "problems": wrong}
    warnings = [str(problem) for problem in problems if problem.warning]
    return {**head, "warnings": warnings, **({} if wrong else _description(load_recipe(file)))}


def recipe_file(project: str, path: str) -> Path:
    """The file of a recipe below the project's folder.

    Raises:
        InvalidCallError: if there is no such file.
    """
    file = Path(project) / path
    if file.suffix not in _SUFFIXES or not _is_inside(project, file):
        raise InvalidCallError(f"the project has no recipe {path!r}")
    return file


def _is_inside(project: str, file: Path) -> bool:
    """Whether the file itself is in the folder, not only a link to it: what it says is shown to a client."""
    try:
        return file.resolve().is_relative_to(Path(project).resolve()) and file.is_file()
    except (OSError, RuntimeError, ValueError):  # links in a circle, a name that can't be
        return False


def _description(recipe: Recipe) -> dict[str, Any]:
    open_to_all = {name: value for name, value in recipe.context.items() if name not in recipe.secrets}
    what = {"name": recipe.name, "version": recipe.version, "description": recipe.description}
    takes = {"context": shortened(open_to_all), "secrets": list(recipe.secrets), "tags": list(recipe.tags)}
    return {**what, **{name: value for name, value in takes.items() if value}, **_work(recipe)}


def _work(recipe: Recipe) -> Mapping[str, Any]:
    if not recipe.stages:
        return {"steps": [_line(step) for step in recipe.steps]}
    return {"stages": [_stage(stage.name, stage.steps, stage.approval) for stage in recipe.stages]}


def _stage(name: str, steps: tuple[Step, ...], approval: Any) -> dict[str, Any]:
    gate = {"approval": ", ".join(filter(None, gate_lines(approval)))} if approval.required else {}
    return {"name": name, "steps": [_line(step) for step in steps], **gate}


def _line(step: Step) -> str:
    loop = loop_lines(step, step.loop) if step.loop else ()
    work = () if loop and step.body else step_lines(step)
    inside = f" [{'; '.join(map(_line, step.body))}]" if step.body else ""
    return ", ".join(filter(None, (*loop, *work))) + inside
