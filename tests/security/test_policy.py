"""A policy holds against recipes that want out: links, dots, templates, swapped files, functions by path."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import trio

from trio_recipes import InvalidRecipeError, Policy, open_runtime
from trio_recipes.errors import ConfigurationError
from trio_recipes.sessions.sources import Sources

HEAD = "name: {}\ndescription: d\nversion: 1.0.0\nsteps:\n"
LEAF = HEAD.format("leaf") + "- {id: a, type: bash, command: echo secret}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that recipes may come from, beside one that they may not."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "leaf.yaml").write_text(LEAF)
    return tmp_path / "inside"


async def refused(root: Path, step: str, context: dict[str, object] | None = None) -> str:
    """What a recipe with this step is told, before it runs or while it does."""
    (root / "main.yaml").write_text(HEAD.format("main") + step)
    async with open_runtime(store=root.parent / "store", project=root, policy=Policy(recipe_roots=[root])) as runtime:
        try:
            result = await (await runtime.start(root / "main.yaml", context)).wait()
        except InvalidRecipeError as error:
            return str(error)
    assert result.failure is not None
    return result.failure.message


@pytest.mark.parametrize(
    "path", ["../outside/leaf.yaml", "{root}/../outside/leaf.yaml", "link.yaml", "folder/leaf.yaml", "~/leaf.yaml"]
)
async def test_no_way_leads_out(root: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent / "outside"))
    (root / "link.yaml").symlink_to(root.parent / "outside" / "leaf.yaml")
    (root / "folder").symlink_to(root.parent / "outside")
    said = await refused(root, f"- {{id: call, type: recipe, recipe: '{path.format(root=root)}'}}\n")
    assert "outside the folders that recipes may come from" in said
    assert "secret" not in said


@pytest.mark.parametrize("path", ["../outside/leaf.yaml", "link.yaml"])
async def test_no_template_leads_out(root: Path, path: str) -> None:
    (root / "link.yaml").symlink_to(root.parent / "outside" / "leaf.yaml")
    said = await refused(root, "- {id: call, type: recipe, recipe: '{{where}}'}\n", {"where": path})
    assert "outside the folders that recipes may come from" in said


async def test_a_file_that_is_none_keeps_nobody_waiting(root: Path) -> None:
    os.mkfifo(root / "pipe.yaml")
    with trio.fail_after(10):
        assert "is no plain file" in await refused(
            root, "- {id: c, type: recipe, recipe: '{{p}}'}\n", {"p": "pipe.yaml"}
        )
        assert "there is no recipe" in await refused(root, "- {id: c, type: recipe, recipe: pipe.yaml}\n")


def test_a_file_that_is_swapped_is_noticed(root: Path) -> None:
    """Somebody puts a link to the outside in the place of a recipe, and back, all the time."""
    inside, outside, name = root / "good.yaml", root.parent / "outside" / "leaf.yaml", root / "swapped.yaml"
    inside.write_text(LEAF.replace("secret", "harmless"))
    sources, is_over = Sources(Policy(recipe_roots=[root])), threading.Event()

    def swap() -> None:
        while not is_over.is_set():
            for target in (inside, outside):
                (root / "draft").symlink_to(target)
                (root / "draft").replace(name)

    name.symlink_to(inside)
    swapping = threading.Thread(target=swap)
    swapping.start()
    loaded = refusals = 0
    try:
        for _ in range(600):
            try:
                assert "harmless" in sources.load(str(name)).text
                loaded += 1
            except InvalidRecipeError:
                refusals += 1
    finally:
        is_over.set()
        swapping.join()
    assert loaded
    assert refusals


def test_it_is_the_open_file_that_counts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst moment: the file was allowed, and is another when it is opened."""
    policy = Policy(recipe_roots=[root])
    monkeypatch.setattr(Policy, "outside", lambda _policy, _file: None)
    with pytest.raises(InvalidRecipeError, match="outside the folders"):
        Sources(policy).load(str(root.parent / "outside" / "leaf.yaml"))


async def test_functions_by_path_are_refused_when_embedded(root: Path) -> None:
    (root / "main.yaml").write_text(HEAD.format("main") + "- {id: f, type: function, function: 'os:getcwd'}\n")
    async with open_runtime(store=root.parent / "store", project=root) as runtime:
        with pytest.raises(ConfigurationError, match="os:getcwd"):
            await runtime.start(root / "main.yaml")


async def test_kinds_are_refused_in_sub_recipes_of_sub_recipes(root: Path) -> None:
    (root / "leaf.yaml").write_text(LEAF)
    (root / "middle.yaml").write_text(HEAD.format("middle") + "- {id: m, type: recipe, recipe: leaf.yaml}\n")
    (root / "main.yaml").write_text(HEAD.format("main") + "- {id: t, type: recipe, recipe: '{{x}}'}\n")
    policy = Policy(kinds=["recipe", "agent"])
    async with open_runtime(store=root.parent / "store", project=root, policy=policy) as runtime:
        with pytest.raises(InvalidRecipeError, match="bash steps are not allowed"):
            await runtime.start(root / "middle.yaml")
        result = await (await runtime.start(root / "main.yaml", {"x": "middle.yaml"})).wait()
    assert result.failure is not None
    assert "bash steps are not allowed" in result.failure.message
