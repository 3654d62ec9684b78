"""A step with ``on_resume: rerun`` says something else after a crash: nothing is taken for what it was not made for."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.lab import Lab, eventually

pytestmark = pytest.mark.slow


def killed_at(lab: Lab, recipe: Path, name: str) -> str:
    """A session whose runner was killed in the middle of the step ``name``."""
    lab.hold(name)
    runner = lab.run(recipe)
    eventually(lambda: lab.begun(name))
    runner.kill()
    eventually(lambda: lab.status(runner.session_id) == "interrupted")
    lab.release(name)
    return runner.session_id


def ran(lab: Lab, session_id: str, *options: str) -> list[str]:
    """The names of the steps that run when a session is resumed to its end."""
    before = len(lab.ledger())
    assert lab.resume(session_id, *options).ended()["status"] == "completed"
    return [entry.name for entry in lab.ledger()[before:] if entry.what == "begin"]


def chooses(lab: Lab, value: str | list[str]) -> dict[str, Any]:
    """A step whose value is what a file holds at that moment."""
    (lab.root / "choice").write_text(json.dumps(value, separators=(",", ":")))
    return lab.step("up", "$(cat choice)", on_resume="rerun")


@pytest.mark.parametrize("options", [[], ["--set", "unused=1"]])
@pytest.mark.parametrize("inside", [False, True])
def test_another_sub_recipe_with_steps_of_the_same_names(lab: Lab, inside: bool, options: list[str]) -> None:
    for name in ("old", "new"):
        lab.write(name, steps=[lab.step("x", f"{name}-x"), lab.step("y", f"{name}-y")])
    call = {"id": "call", "type": "recipe", "recipe": "{{up}}.yaml", "output": "call"}
    recipe = lab.write("parent", context={"unused": 0}, steps=[chooses(lab, "old"), call, lab.step("w")])
    session_id = killed_at(lab, recipe, "y" if inside else "w")
    chooses(lab, "new")
    assert ran(lab, session_id, *options) == ["up", "x", "y", "w"]
    assert lab.context(session_id)["call"] == {"x": "new-x\n", "y": "new-y\n"}


def test_the_same_sub_recipe(lab: Lab) -> None:
    lab.write("old", steps=[lab.step("x"), lab.step("y")])
    call = {"id": "call", "type": "recipe", "recipe": "{{up}}.yaml"}
    session_id = killed_at(lab, lab.write("parent", steps=[chooses(lab, "old"), call, lab.step("w")]), "w")
    assert ran(lab, session_id) == ["up", "w"]


@pytest.mark.parametrize("parallel", [False, True])
def test_other_items(lab: Lab, parallel: bool) -> None:
    loop = {"foreach": "{{up}}", "parallel": parallel, "collect": "all"}
    steps = [chooses(lab, ["1", "2"]), lab.step("x", "{{item}}", **loop), lab.step("w")]
    session_id = killed_at(lab, lab.write("looped", steps=steps), "w")
    chooses(lab, ["1", "3"])
    assert ran(lab, session_id) == ["up", "x", "w"]
    assert lab.context(session_id)["all"] == [1, 3]


def test_a_step_that_was_skipped(lab: Lab) -> None:
    steps = [chooses(lab, "old"), lab.step("x", condition="{{up}} == new"), lab.step("w")]
    session_id = killed_at(lab, lab.write("plain", steps=steps), "w")
    chooses(lab, "new")
    assert ran(lab, session_id) == ["up", "x", "w"]
    assert "_skipped_steps" not in lab.context(session_id)
