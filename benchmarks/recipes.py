"""The recipes that are measured."""

from __future__ import annotations

from pathlib import Path

from trio_recipes.language.load import load_recipe, parse_recipe
from trio_recipes.language.model import Recipe

_HEAD = "name: {name}\ndescription: measured by benchmarks\nversion: 1.0.0\n"


def head(name: str) -> str:
    return _HEAD.format(name=name)


def loop(function: str, count: int, parallel: str, *, step: str = "s") -> str:
    """A step that calls a function for each of ``count`` items; the recipe's context has them as ``items``."""
    return (
        f"  - {{id: {step}, type: function, function: {function}, foreach: '{{{{items}}}}', "
        f"max_iterations: {count}, parallel: {parallel}}}\n"
    )


def items(count: int) -> str:
    return f"context: {{items: {list(range(count))}}}\n"


def parallel(function: str, count: int) -> Recipe:
    """All ``count`` calls at once."""
    return parse_recipe(head("wide") + items(count) + "steps:\n" + loop(function, count, "true"))


def sequential(function: str, count: int) -> Recipe:
    """``count`` iterations, one after the other."""
    return parse_recipe(head("loop") + items(count) + "steps:\n" + loop(function, count, "false"))


def flat(function: str, count: int) -> Recipe:
    """``count`` steps, one after the other."""
    steps = "".join(f"  - {{id: s{n}, type: function, function: {function}}}\n" for n in range(count))
    return parse_recipe(head("flat") + "steps:\n" + steps)


def single(function: str) -> Recipe:
    return flat(function, 1)


def command(text: str) -> Recipe:
    """One bash step."""
    indented = "".join(f"      {line}\n" for line in text.splitlines())
    return parse_recipe(head("command") + "steps:\n  - id: s\n    type: bash\n    command: |\n" + indented)


def nested(folder: Path, function: str, depth: int, leaves: int) -> Recipe:
    """Recipes within recipes, ``depth`` of them; the innermost calls a function ``leaves`` times, all at once."""
    folder.mkdir(parents=True, exist_ok=True)
    limits = "recursion: {max_depth: 20}\n"
    for level in range(1, depth + 1):
        if level < depth:
            body = f"steps:\n  - {{id: s, type: recipe, recipe: level-{level + 1}.yaml}}\n"
        else:
            body = items(leaves) + "steps:\n" + loop(function, leaves, "true")
        (folder / f"level-{level}.yaml").write_text(head(f"level-{level}") + limits + body, encoding="utf-8")
    return load_recipe(folder / "level-1.yaml")
