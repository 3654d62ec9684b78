"""A small Amplifier application with the recipes tool; it needs amplifier-core. Try: python amplifier_host.py.

It is the application that gives agent steps somebody to ask: it registers the capability ``session.spawn``. This one
answers by itself; a real one starts a sub-session with its own model.
"""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from amplifier_core import HookResult, ModuleCoordinator
from amplifier_core.testing import create_test_coordinator

from trio_recipes.integrations import amplifier

RECIPE = """\
name: two-views
description: Asks two agents about one thing
version: 1.0.0
context: {topic: tabs or spaces}
steps:
  - {id: first, agent: "views:one", prompt: "What about {{topic}}?", output: one}
  - {id: second, agent: "views:two", prompt: "Somebody said: {{one}}. And you?", output: final_output}
"""


async def spawn(*, agent_name: str, instruction: str, **_more: Any) -> dict[str, Any]:
    """Answer an agent step."""
    await asyncio.sleep(0.01)
    return {"output": f"{agent_name} has read {len(instruction)} characters", "session_id": "sub-1"}


async def watch(event: str, data: dict[str, Any]) -> Any:  # noqa: ASYNC124  hooks are awaited
    """Print what happens, as a progress display would."""
    print(event, data["current_step"], [step["status"] for step in data["steps"]])
    return HookResult(action="continue")


async def main(coordinator: ModuleCoordinator) -> None:
    """Mount the tool, and call it as an orchestrator does when the model asks for it."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "two-views.yaml").write_text(RECIPE)
        coordinator.register_capability("session.spawn", spawn)
        coordinator.register_capability("session.working_dir", folder)
        for event in ("recipe:start", "recipe:step", "recipe:complete", "recipe:cancelled"):
            coordinator.hooks.register(event, watch, name=f"watch {event}")
        await amplifier.mount(coordinator, {"session_dir": folder})
        try:
            tool = coordinator.get("tools")["recipes"]
            result = await tool.execute({"operation": "execute", "recipe_path": "two-views.yaml"})
            print(json.dumps(result.output["summary"]["final_output"]))
        finally:
            await coordinator.cleanup()


async def start() -> None:
    """Run with a coordinator for trying things out; in an application, its session has one."""
    await main(create_test_coordinator())


if __name__ == "__main__":
    asyncio.run(start())
