"""Where recipes may come from, and what they may do: bundles (recipe-language.md section 2) and `Policy`."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from trio_recipes import InvalidRecipeError, open_runtime, validate_recipe
from trio_recipes.errors import ConfigurationError
from trio_recipes.sessions.policy import Policy

CALLS = """\
name: caller
description: d
version: 1.0.0
steps:
  - id: sub
    type: recipe
    recipe: "{path}"
    output: got
"""

CALLED = """\
name: called
description: d
version: 1.0.0
steps:
  - id: say
    type: bash
    command: echo hello $SEEN $HIDDEN
    output: said
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "bundle" / "deep").mkdir(parents=True)
    (tmp_path / "bundle" / "deep" / "called.yaml").write_text(CALLED)
    return tmp_path / "project"


def written(project: Path, text: str, name: str = "recipe.yaml") -> Path:
    (project / name).write_text(text)
    return project / name


async def run(recipe: Path, **options: object) -> object:
    async with open_runtime(store=str(recipe.parent / "store"), project=recipe.parent, **options) as runtime:  # type: ignore[arg-type]
        session = await runtime.start(recipe)
        return (await session.wait()).unwrap()["got"]


def messages(problems: Sequence[object]) -> str:
    return "\n".join(map(str, problems))


async def test_a_bundle_that_the_application_configures(project: Path) -> None:
    recipe = written(project, CALLS.format(path="@tools:deep/called.yaml"))
    assert await run(recipe, bundles={"tools": project.parent / "bundle"}) == {"said": "hello\n"}


async def test_a_bundle_that_a_function_finds(project: Path) -> None:
    asked: list[str] = []

    def find(name: str) -> str:
        asked.append(name)
        return str(project.parent / "bundle" / "deep" / "called.yaml")

    recipe = written(project, CALLS.format(path="@anything:at-all"))
    assert await run(recipe, bundles=find) == {"said": "hello\n"}
    assert asked == ["@anything:at-all"]


async def test_a_bundle_that_the_project_names(project: Path) -> None:
    (project / "trio-recipes.toml").write_text('[bundles]\ntools = "../bundle"\n')
    recipe = written(project, CALLS.format(path="@tools:deep/called.yaml"))
    assert validate_recipe(recipe, project=project) == []
    assert await run(recipe) == {"said": "hello\n"}


async def test_a_templated_path_into_a_bundle(project: Path) -> None:
    text = CALLS.format(path="@tools:deep/{{file}}").replace("steps:", "context: {file: called.yaml}\nsteps:", 1)
    assert await run(written(project, text), bundles={"tools": project.parent / "bundle"}) == {"said": "hello\n"}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("@tolls:deep/called.yaml", "there is no bundle 'tolls'; did you mean 'tools'?"),
        ("@tools:../project/recipe.yaml", "leads out of the bundle's folder"),
        ("@tools:", "leads out of the bundle's folder"),
        ("@tools:deep/missing.yaml", "can't be read: No such file"),
    ],
)
def test_what_leads_nowhere_is_told_where_it_is_named(project: Path, path: str, told: str) -> None:
    recipe = written(project, CALLS.format(path=path))
    problems = validate_recipe(recipe, project=project, bundles={"tools": project.parent / "bundle"})
    assert told in messages(problems)


def test_a_bundle_without_configuration_is_told_with_file_and_line(project: Path) -> None:
    recipe = written(project, CALLS.format(path="@tools:x.yaml"))
    (problem,) = validate_recipe(recipe, project=project)
    assert (problem.file, problem.line, problem.field) == (str(recipe), 5, "steps[0].recipe")
    assert "[bundles] of trio-recipes.toml" in problem.message


@pytest.mark.parametrize("text", ["[bundles]\ntools = 1\n", "bundles = 'x'\n", "not toml"])
def test_a_project_file_that_is_wrong(project: Path, text: str) -> None:
    (project / "trio-recipes.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"trio-recipes\.toml"):
        validate_recipe(written(project, CALLS.format(path="@tools:x.yaml")), project=project)


# --- policy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["../bundle/deep/called.yaml", "link.yaml"])
async def test_recipes_outside_the_roots_are_refused(project: Path, path: str) -> None:
    (project / "link.yaml").symlink_to(project.parent / "bundle" / "deep" / "called.yaml")
    recipe = written(project, CALLS.format(path=path))
    assert await run(recipe) == {"said": "hello\n"}
    with pytest.raises(InvalidRecipeError, match="outside the folders that recipes may come from"):
        await run(recipe, policy=Policy(recipe_roots=[project]))
    assert await run(recipe, policy=Policy(recipe_roots=[project, project.parent / "bundle"])) == {"said": "hello\n"}


async def test_a_recipe_outside_the_roots_is_not_even_read(project: Path) -> None:
    secret = project.parent / "secret.yaml"
    secret.write_text("password: hunter2\n")
    with pytest.raises(InvalidRecipeError) as refused:
        await run(written(project, CALLS.format(path="../secret.yaml")), policy=Policy(recipe_roots=[project]))
    assert "hunter2" not in str(refused.value)
    assert "password" not in str(refused.value)
    with pytest.raises(InvalidRecipeError, match="outside"):
        await run(secret, policy=Policy(recipe_roots=[project]))


async def test_a_templated_path_out_of_the_roots_fails_its_step(project: Path) -> None:
    text = CALLS.format(path="{{file}}").replace("steps:", "context: {file: ../bundle/deep/called.yaml}\nsteps:", 1)
    recipe = written(project, text)
    store = str(project / "store")
    async with open_runtime(store=store, project=project, policy=Policy(recipe_roots=[project])) as runtime:
        result = await (await runtime.start(recipe)).wait()
    assert result.status.value == "failed"
    assert result.failure is not None
    assert "outside the folders that recipes may come from" in result.failure.message


async def test_kinds_of_steps_that_are_not_allowed(project: Path) -> None:
    recipe = written(project, CALLS.format(path="../bundle/deep/called.yaml"))
    with pytest.raises(InvalidRecipeError, match="bash steps are not allowed here") as refused:
        await run(recipe, policy=Policy(kinds={"recipe", "agent"}))
    (problem,) = refused.value.problems
    assert (problem.line, problem.field) == (5, "steps[0].type")


async def test_a_policy_holds_for_sessions_that_were_begun_without_it(project: Path) -> None:
    text = CALLED.replace("echo hello", "exit 1; echo")
    store = str(project / "store")
    async with open_runtime(store=store, project=project) as runtime:
        session = await runtime.start(written(project, text))
        assert (await session.wait()).status.value == "failed"
    async with open_runtime(store=store, project=project, policy=Policy(kinds={"agent"})) as runtime:
        with pytest.raises(InvalidRecipeError, match="bash steps are not allowed here"):
            await runtime.resume(session.id)


async def test_a_templated_sub_recipe_of_a_kind_that_is_not_allowed(project: Path) -> None:
    text = CALLS.format(path="{{file}}").replace("steps:", "context: {file: ../bundle/deep/called.yaml}\nsteps:", 1)
    recipe = written(project, text)
    async with open_runtime(store=str(project / "s"), project=project, policy=Policy(kinds={"recipe"})) as runtime:
        result = await (await runtime.start(recipe)).wait()
    assert result.failure is not None
    assert "bash steps are not allowed here" in result.failure.message


@pytest.mark.parametrize(
    ("inherit", "seen"),
    [(True, "hello seen hidden\n"), ({"SEEN"}, "hello seen\n"), (False, "hello\n")],
)
async def test_what_commands_see_of_the_environment(
    project: Path, monkeypatch: pytest.MonkeyPatch, inherit: bool | set[str], seen: str
) -> None:
    monkeypatch.setenv("SEEN", "seen")
    monkeypatch.setenv("HIDDEN", "hidden")
    recipe = written(project, CALLS.format(path="../bundle/deep/called.yaml"))
    assert await run(recipe, policy=Policy(inherit_env=inherit)) == {"said": seen}


def test_a_policy_that_can_not_be() -> None:
    with pytest.raises(ValueError, match="did you mean 'bash'"):
        Policy(kinds={"bsh"})
    with pytest.raises(ValueError, match="not 'some'"):
        Policy(functions="some")
