"""Recipes with approval gates, and the runs of this process that come to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.campaign.lab import Lab
from trio_recipes import SessionResult


def gate(prompt: str = "Ship this? {{build}}", **rules: Any) -> dict[str, Any]:
    return {"required": True, "prompt": prompt, **rules}


def staged(lab: Lab, **rules: Any) -> Path:
    """Two stages with a gate between them; the second tells what it knows of the decision."""
    tell = lab.step("ship", "{{_approval_message}}/{{_approval.by}}/{{_approval.via}}")
    stages = [
        {"name": "make", "steps": [lab.step("build")], "approval": gate(**rules)},
        {"name": "send", "steps": [tell]},
    ]
    return lab.write("staged", stages=stages)


def nested(lab: Lab, parallel: int | bool = True) -> Path:
    """A stage with a loop over sub-recipes, each with a gate of its own."""
    stages = [
        {"name": "check", "steps": [lab.step("check-{{item}}", id="look")], "approval": gate("Is {{item}} right?")},
        {
            "name": "use",
            "steps": [lab.step("use-{{item}}", "'{{item}} {{_approval_message}}'", id="use", output="used")],
        },
    ]
    lab.write("sub", context={"item": ""}, stages=stages)
    each = {"id": "each", "type": "recipe", "recipe": "sub.yaml", "context": {"item": "{{item}}"}, "collect": "all"}
    loop = {"foreach": "{{items}}", "parallel": parallel}
    return lab.write("nested", context={"items": ["x", "y"]}, stages=[{"name": "audit", "steps": [{**each, **loop}]}])


async def run(lab: Lab, recipe: Path, **options: Any) -> SessionResult:
    async with lab.runtime(**options) as runtime:
        return await (await runtime.start(recipe)).wait()


async def resume(lab: Lab, session_id: str, **options: Any) -> SessionResult:
    async with lab.runtime(**options) as runtime:
        return await (await runtime.resume(session_id)).wait()


def waiting(lab: Lab) -> list[str]:
    """What ``SessionManager`` says waits, by path."""
    return [pending["path"] for pending in lab.manager.list_pending_approvals(lab.root)]
