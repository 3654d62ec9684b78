"""What a path meant when its recipe was frozen, it means in that session for ever, wherever it leads by then."""

from pathlib import Path

import pytest

from trio_recipes import open_runtime, validate_recipe
from trio_recipes.language.load import load_recipe
from trio_recipes.progress.asks import NeedRecipe
from trio_recipes.sessions.recipes import FrozenRecipes, freeze

SUB = """\
name: sub
description: d
version: 1.0.0
steps:
  - {{id: x, type: bash, command: echo {name} x, output: x}}
  - {{id: y, type: bash, command: "test -e {go} && echo {name} y", output: y}}
"""
PARENT = """\
name: parent
description: d
version: 1.0.0
context: {which: current}
steps:
  - {id: call, type: recipe, recipe: "PATH", output: call}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("old", "new"):
        (folder / f"{name}.yaml").write_text(SUB.format(name=name, go=tmp_path / "go"))
    (folder / "current.yaml").symlink_to("old.yaml")
    return folder


async def failed(project: Path, path: str) -> str:
    """A session that failed within the sub-recipe that it calls by ``path``."""
    (project / "parent.yaml").write_text(PARENT.replace("PATH", path))
    async with open_runtime(store=str(project.parent / "store"), project=project) as runtime:
        session = await runtime.start(project / "parent.yaml")
        result = await session.wait()
    assert result.failure is not None
    assert result.failure.path == "call/y"
    return session.id


async def resumed(project: Path, session_id: str) -> object:
    """What the call resulted in once the session could go on."""
    (project.parent / "go").touch()
    async with open_runtime(store=str(project.parent / "store"), project=project) as runtime:
        session = await runtime.resume(session_id)
        return (await session.wait()).unwrap()["call"]


def moved(project: Path) -> None:
    """Leave a link where the project was, and another recipe in the place of the one that was called."""
    project.rename(project.parent / "moved")
    project.symlink_to("moved")
    (project / "old.yaml").write_text((project / "new.yaml").read_text())


PATHS = pytest.mark.parametrize("path", ["current.yaml", "{{which}}.yaml", "../project/current.yaml"])
OLD = {"x": "old x\n", "y": "old y\n"}


@PATHS
async def test_a_link_that_leads_elsewhere_now(project: Path, path: str) -> None:
    session_id = await failed(project, path)
    (project / "current.yaml").unlink()
    (project / "current.yaml").symlink_to("new.yaml")
    assert await resumed(project, session_id) == OLD


@PATHS
async def test_a_link_that_is_gone(project: Path, path: str) -> None:
    session_id = await failed(project, path)
    (project / "current.yaml").unlink()
    assert await resumed(project, session_id) == OLD


@PATHS
async def test_a_project_that_was_moved_and_left_a_link(project: Path, path: str) -> None:
    session_id = await failed(project, path)
    moved(project)
    assert await resumed(project, session_id) == OLD


def test_sessions_that_kept_recipes_by_their_real_files_know_them_still(project: Path) -> None:
    recipe = load_recipe(project / "old.yaml")
    known = FrozenRecipes(str(project), {str(project / "old.yaml"): freeze(str(project / "old.yaml"), recipe)})
    for name in ("old.yaml", "current.yaml", "../project/./old.yaml"):
        found = known.known(NeedRecipe("call", name, str(project / "parent.yaml")))
        assert found is not None
        assert found.digest == recipe.digest


def test_what_is_wrong_with_a_recipe_is_told_once_whatever_it_is_called(project: Path) -> None:
    (project / "old.yaml").write_text(SUB.format(name="{{nobody}}", go="go"))
    steps = [f"  - {{id: s{i}, type: recipe, recipe: {name}}}\n" for i, name in enumerate(["old.yaml", "current.yaml"])]
    (project / "parent.yaml").write_text(PARENT.split("  - ", 1)[0] + "".join(steps))
    problems = validate_recipe(project / "parent.yaml", project=project)
    assert [problem.file for problem in problems] == [str(project / "old.yaml")] * 2  # one for each of its steps
