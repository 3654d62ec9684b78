"""A recipe with every feature of the language, whose steps keep the lab's ledger; and what an uninterrupted run gives.

Stages with a gate, parallel and sequential loops, ``while``, sub-recipes in loops in sub-recipes, retry, ``on_error``,
``finally``, a graph, functions (in a thread and async), a program as an agent, a background process, a secret.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from tests.campaign.lab import Lab

FUNCTIONS: Final = """
import os
import trio


def note(key, what, name):
    with open(os.path.join(os.path.dirname(__file__), "ledger"), "a") as ledger:
        ledger.write(f"{what} {name} {key}\\n")


def plain(name, key):
    note(key, "begin", name)
    note(key, "end", name)
    return {"name": name, "length": len(name)}


async def patient(name, key):
    note(key, "begin", name)
    await trio.sleep(0.005)
    note(key, "end", name)
    return [name, name]
"""

SECRET: Final = ("campaign_token", "a secret of the campaign")

NAMES: Final = frozenset(
    {"a", "guarded", "flaky", "quits", "i", "j", "k", "round0", "round1", "thread", "async", "ada", "server"}
    | {f"{part}-{where}" for part in "xy" for where in ("first", "last", "1-leaf", "2-leaf")}
    | {"left", "right", "both", "after", "cleaned", "end"}
)
"""Of all steps' executions, as the ledger has them."""

RERUN: Final = frozenset({"server"})
"""Those that a resume runs again although they had finished: they say so in the recipe."""

GATE: Final = "prepare"
"""The stage that waits for an approval."""


def write(lab: Lab) -> Path:
    """Write the recipe and what it needs into the lab's project."""
    (lab.root / "campaign_functions.py").write_text(FUNCTIONS)
    answer = ["/bin/bash", "-c", f"cat > /dev/null; . {lab.root}/step $TRIO_RECIPES_AGENT"]
    (lab.root / "agents.yaml").write_text(
        yaml.safe_dump({"agents": {"ada": {"backend": "command", "command": answer}}})
    )
    lab.write("leaf", context={"name": ""}, steps=[lab.step("{{name}}-leaf", id="p", output="said")])
    deeper = {"id": "deeper", "type": "recipe", "recipe": "leaf.yaml", "context": {"name": "{{name}}-{{item}}"}}
    lab.write(
        "middle",
        context={"name": "", "numbers": ["1", "2"]},
        steps=[
            lab.step("{{name}}-first", id="first", output="first"),
            {**deeper, "foreach": "{{numbers}}", "parallel": True, "collect": "leaves"},
            lab.step("{{name}}-last", id="last", output="last"),
        ],
    )
    stages = [
        {"name": GATE, "steps": _prepare(lab), "approval": {"required": True, "prompt": "Go on with {{a}}?"}},
        {"name": "loops", "steps": _loops(lab), "finally": [lab.step("cleaned")]},
        {"name": "graph", "steps": _graph(lab), "schedule": "graph", "max_parallel_steps": 2},
        {"name": "after", "steps": [lab.step("after")]},
    ]
    context = {"items": ["i", "j", "k"], "parts": ["x", "y"], "n": 0}
    rest = {"secrets": [SECRET[0]], "finally": [lab.step("end")]}
    return lab.write("everything", context=context, stages=stages, **rest)


def _prepare(lab: Lab) -> list[dict[str, Any]]:
    guarded = lab.step("guarded", env_from_context=[SECRET[0]])
    guarded["command"] += f"; echo ${{#{SECRET[0]}}}"
    server = lab.step("server", on_resume="rerun")
    server["command"] += "; sleep 300 &"
    flaky = lab.step("flaky", retry={"max_attempts": 2, "initial_delay": 0.005})
    flaky["command"] += '; [ "$TRIO_RECIPES_ATTEMPT" -gt 1 ]'
    quits = lab.step("quits", on_error="continue")
    quits["command"] += "; exit 3"
    return [lab.step("a"), guarded, server, flaky, quits]


def _loops(lab: Lab) -> list[dict[str, Any]]:
    call = {"id": "call", "type": "recipe", "recipe": "middle.yaml", "context": {"name": "{{item}}"}}
    return [
        lab.step("{{item}}", id="scan", foreach="{{items}}", parallel=2, collect="scanned"),
        {**call, "foreach": "{{parts}}", "collect": "called"},
        lab.step("round{{n}}", "$(({{n}} + 1))", id="again", while_condition="{{n}} < 2", output="n"),
    ]


def _graph(lab: Lab) -> list[dict[str, Any]]:
    ada = {"id": "ada", "agent": "ada", "prompt": "What of {{scanned}}?", "output": "ada"}
    return [
        lab.step("left"),
        lab.step("right"),
        _function("plain", "thread"),
        _function("patient", "async", depends_on=["thread"]),
        {**ada, "depends_on": ["left"]},
        lab.step("both", depends_on=["left", "right", "ada"]),
    ]


def _function(function: str, name: str, **fields: Any) -> dict[str, Any]:
    key = "{{session.id}}/graph/" + name
    step = {"id": name, "type": "function", "function": f"campaign_functions:{function}", "output": f"of_{name}"}
    return {**step, "args": {"name": name, "key": key}, **fields}
