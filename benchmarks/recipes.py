"""The recipes that are measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, frozen

from trio_recipes.language.load import load_recipe, parse_recipe
from trio_recipes.language.model import Recipe
from trio_recipes.sessions.runtime import Runtime
from trio_recipes.sessions.session import Session

_HEAD = "name: {name}\ndescription: measured by benchmarks\nversion: 1.0.0\n"


def head(name: str) -> str:
    """What every recipe begins with, in YAML."""
    return _HEAD.format(name=name)


def loop(function: str, count: int, parallel: str, *, step: str = "s") -> str:
    """A step that calls a function for each of ``count`` items; the recipe's context has them as ``items``."""
    return (
        f"  - {{id: {step}, type: function, function: {function}, foreach: '{{{{items}}}}', "
        f"max_iterations: {count}, parallel: {parallel}}}\n"
    )


@frozen
class Job:
    """A recipe, and the variables it is started with."""

    recipe: Recipe
    context: Mapping[str, Any] = Factory(dict)

    async def start(self, runtime: Runtime) -> Session:
        """Start a session of it."""
        return await runtime.start(self.recipe, self.context)


def looping(steps: str, count: int) -> Job:
    """Steps that loop over ``count`` items."""
    return Job(parse_recipe(head("loop") + "steps:\n" + steps), {"items": list(range(count))})


def parallel(function: str, count: int) -> Job:
    """All ``count`` calls at once."""
    return looping(loop(function, count, "true"), count)


def sequential(function: str, count: int) -> Job:
    """``count`` iterations, one after the other."""
    return looping(loop(function, count, "false"), count)


def flat(function: str, count: int) -> Job:
    """``count`` steps, one after the other."""
    steps = "".join(f"  - {{id: s{n}, type: function, function: {function}}}\n" for n in range(count))
    return Job(parse_recipe(head("flat") + "steps:\n" + steps))


def single(function: str) -> Job:
    """One step."""
    return flat(function, 1)


def command(text: str) -> Job:
    """One bash step."""
    return Job(parse_recipe(head("command") + "steps:\n" + command_text(text)))


def commands(text: str, count: int) -> Job:
    """The same ``count`` times, all at once; the text may have ``{{item}}``, a number."""
    every = f"    foreach: '{{{{items}}}}'\n    parallel: true\n    max_iterations: {count}\n"
    return looping(command_text(text) + every, count)


def command_text(text: str) -> str:
    """One bash step, in YAML."""
    indented = "".join(f"      {line}\n" for line in text.splitlines())
    return "  - id: s\n    type: bash\n    command: |\n" + indented


def nested(folder: Path, function: str, depth: int, leaves: int) -> Job:
    """Recipes within recipes, ``depth`` of them; the innermost calls a function ``leaves`` times, all at once."""
    inner = f"context: {{items: {list(range(leaves))}}}\nsteps:\n" + loop(function, leaves, "true")
    return within(folder, inner, depth)


def nested_command(folder: Path, text: str, depth: int) -> Job:
    """The same with one bash step."""
    return within(folder, "steps:\n" + command_text(text), depth)


def nested_failing(folder: Path, function: str, depth: int) -> Job:
    """The same with one step that fails and waits a minute before it tries again."""
    return within(folder, "steps:\n" + failing_text(function), depth)


def within(folder: Path, inner: str, depth: int) -> Job:
    """Recipes within recipes, ``depth`` of them, the innermost of which has this body."""
    folder.mkdir(parents=True, exist_ok=True)
    limits = "recursion: {max_depth: 20}\n"
    for level in range(1, depth + 1):
        outer = f"steps:\n  - {{id: s, type: recipe, recipe: level-{level + 1}.yaml}}\n"
        body = outer if level < depth else inner
        (folder / f"level-{level}.yaml").write_text(head(f"level-{level}") + limits + body, encoding="utf-8")
    return Job(load_recipe(folder / "level-1.yaml"))


def failing(function: str, count: int = 1) -> Job:
    """Steps that fail and wait a minute before they try again: ``count``, all at once."""
    every = f", foreach: '{{{{items}}}}', parallel: true, max_iterations: {count}"
    return looping(failing_text(function, every), count)


def failing_text(function: str, more: str = "") -> str:
    """One step that fails and waits a minute before it tries again, in YAML; ``more`` of its fields."""
    retry = "retry: {max_attempts: 2, initial_delay: 60, backoff: linear}"
    return f"  - {{id: s, type: function, function: {function}, {retry}{more}}}\n"
