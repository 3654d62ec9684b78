"""What the claims of docs/reference/recipe-language.md are tested with: small recipes, checked or run for real."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from trio_recipes import AgentRequest, SessionResult, open_runtime
from trio_recipes.language.load import parse_recipe
from trio_recipes.sessions.recipes import validate_recipe
from trio_recipes.testing import ScriptedAgent

HEAD = "name: claim\ndescription: a claim\nversion: 1.0.0\n"


def flat(steps: str, head: str = "") -> str:
    """A flat recipe of these steps."""
    return f"{HEAD}{textwrap.dedent(head)}\nsteps:\n{textwrap.indent(textwrap.dedent(steps).strip(), '  ')}\n"


def staged(stages: str, head: str = "") -> str:
    """A staged recipe of these stages."""
    return f"{HEAD}{textwrap.dedent(head)}\nstages:\n{textwrap.indent(textwrap.dedent(stages).strip(), '  ')}\n"


def told(text: str, folder: Path, /, **context: Any) -> str:
    """Everything that validation says of a recipe, warnings included; "" if it has nothing to say."""
    file = folder / "claim.yaml"
    file.write_text(text)
    return "\n".join(str(problem) for problem in validate_recipe(file, context, project=folder))


def refused(text: str, folder: Path, /, **context: Any) -> bool:
    """Whether a recipe is refused (warnings do not count)."""
    file = folder / "claim.yaml"
    file.write_text(text)
    return not all(problem.warning for problem in validate_recipe(file, context, project=folder))


@frozen
class Ran:
    """A recipe that has run.

    Args:
        result: how it ended.
        requests: what agents were asked.
        warnings: what was warned of while it ran.
        files: names of what it left in its folder.
    """

    result: SessionResult
    requests: list[AgentRequest]
    warnings: list[str]
    folder: Path

    @property
    def status(self) -> str:
        """As a word."""
        return str(self.result.status)

    @property
    def prompts(self) -> list[str]:
        """What agents were asked, in order."""
        return [request.prompt for request in self.requests]

    @property
    def message(self) -> str:
        """Why it failed."""
        return self.result.failure.message if self.result.failure else ""

    def __getitem__(self, name: str) -> Any:
        return self.result.context[name]

    def __contains__(self, name: str) -> bool:
        return name in self.result.context

    def lines(self, name: str = "ran") -> list[str]:
        """The lines of a file that steps wrote."""
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []


async def run(
    text: str,
    folder: Path,
    /,
    *,
    answers: Mapping[str, Any] | None = None,
    functions: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    **context: Any,
) -> Ran:
    """Run a recipe: real commands, scripted agents (each answers with its step's id unless told otherwise)."""
    for name, content in (files or {}).items():
        (folder / name).write_text(content)
    recipe_file = folder / "claim.yaml"
    recipe_file.write_text(text)
    agent = ScriptedAgent(default=lambda request: f"answer of {request.step_id}", steps=dict(answers or {}))
    warnings: list[str] = []

    def observe(_session: str, stamped: Any) -> None:
        if stamped.event.name == "warned":
            warnings.append(stamped.event.message)

    async with open_runtime(
        store=str(folder / ".store"),
        agents=agent,
        functions=functions,
        project=folder,
        durability="process",
        observe=observe,
    ) as runtime:
        session = await runtime.start(recipe_file, context)
        result = await session.wait()
    return Ran(result, agent.requests, warnings, folder)


def bash(name: str, command: str, **fields: Any) -> str:
    """A bash step, on one line."""
    more = "".join(f", {key.rstrip('_')}: {value}" for key, value in fields.items())
    return f"- {{id: {name}, type: bash, command: {command!r}{more}}}\n"


def parses(text: str) -> bool:
    """Whether a recipe's text is one."""
    try:
        parse_recipe(text)
    except Exception:  # whatever it is: the claim is that it is read
        return False
    return True
