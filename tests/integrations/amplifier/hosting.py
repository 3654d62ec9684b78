"""An Amplifier application in miniature: the real coordinator of amplifier-core, hooks that remember, a spawner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from amplifier_core import HookResult
from amplifier_core.testing import create_test_coordinator
from attrs import define, field

from trio_recipes.integrations.amplifier import mount
from trio_recipes.integrations.amplifier.tracker import OBSERVABLE

PATIENCE = 15.0
SLOW = """
- {id: first, type: bash, command: echo one}
- {id: slow, type: bash, command: "touch begun; until test -e gate; do sleep 0.02; done; echo two"}
- {id: last, type: bash, command: echo three}
"""


def recipe(folder: Path, steps: str, head: str = "", name: str = "probe") -> str:
    """Write a recipe; returns its path as an agent gives it."""
    body = "".join(f"  {line}\n" for line in steps.strip().split("\n"))
    (folder / f"{name}.yaml").write_text(f"name: {name}\ndescription: a probe\nversion: 1.0.0\n{head}\nsteps:\n{body}")
    return f"{name}.yaml"


@define(eq=False)
class App:
    """The application.

    Args:
        project: its working directory.
    """

    project: Path
    coordinator: Any = field(factory=create_test_coordinator)
    told: list[tuple[str, dict[str, Any]]] = field(factory=list)
    asked: list[dict[str, Any]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.coordinator.register_capability("session.working_dir", str(self.project))
        for name in OBSERVABLE:
            self.coordinator.hooks.register(name, self._hear, name=f"test-{name}")

    async def _hear(self, name: str, data: dict[str, Any]) -> Any:
        self.told.append((name, data))
        return HookResult(action="continue")

    def answer(self, spawn: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        """Have agent steps answered by ``spawn(agent_name=…, instruction=…)``."""

        async def spawner(**arguments: Any) -> Any:
            self.asked.append(arguments)
            return await spawn(**arguments)

        self.coordinator.register_capability("session.spawn", spawner)

    @property
    def tool(self) -> Any:
        """The tool, as an orchestrator finds it."""
        return self.coordinator.get("tools")["recipes"]

    async def __call__(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call the tool; what it returned, ``error`` laid open."""
        result = await self.tool.execute({"operation": operation, **arguments})
        body = result.output if result.success else result.error
        return {"success": result.success, **body}

    def begin(self, operation: str, **arguments: Any) -> asyncio.Task[dict[str, Any]]:
        """Call the tool beside everything else."""
        return asyncio.create_task(self(operation, **arguments))

    def data(self, name: str) -> list[dict[str, Any]]:
        """The data of every event of a name."""
        return [data for told, data in self.told if told == name]

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for something that will be."""
        async with asyncio.timeout(PATIENCE):
            while not (found := condition()):  # noqa: ASYNC110  files and statuses have no event to wait for
                await asyncio.sleep(0.01)
        return found

    async def at_slow(self) -> str:
        """The session's id, once its slow step runs."""
        await self.until((self.project / "begun").exists)
        return str((await self.until(lambda: self.data("recipe:start")))[-1]["recipe_session_id"])

    def open_gate(self) -> None:
        """Let the slow step end."""
        (self.project / "gate").touch()


@asynccontextmanager
async def hosting(project: Path, **config: Any) -> AsyncGenerator[App]:
    """An application with the tool mounted; cleaned up at the end."""
    app = App(project)
    await mount(app.coordinator, config)
    try:
        yield app
    finally:
        await app.coordinator.cleanup()
