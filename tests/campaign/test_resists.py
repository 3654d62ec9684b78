"""What resists a stop is reported by name after a bounded time, and its session ends all the same."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.lab import Lab, Runner, eventually, takes_less_than
from trio_recipes.events import Output
from trio_recipes.testing import assert_no_survivors

FUNCTIONS = """
import pathlib, threading, time, trio

def begin():
    '''Go on at once the second time.'''
    flag = pathlib.Path("begun")
    again = flag.exists()
    flag.touch()
    return again

async def shields():
    if begin(): return "fine"
    with trio.CancelScope(shield=True):
        await trio.sleep(60)

async def swallows():
    if begin(): return "fine"
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            await trio.sleep(60)
        except BaseException:
            pass

async def hangs_in_finally():
    if begin(): return "fine"
    try:
        await trio.sleep(60)
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)

def blocks_its_thread():
    if begin(): return "fine"
    time.sleep(60)

async def keeps_the_loop():
    if begin(): return "fine"
    time.sleep(60)
"""

RESISTING = ["hangs_in_finally", "blocks_its_thread"]


def stays(lab: Lab, function: str, **fields: Any) -> Path:
    """A recipe whose first step resists, with clean-up behind it."""
    (lab.root / "ours.py").write_text(FUNCTIONS)
    step = {"id": "stays", "type": "function", "function": f"ours:{function}", "output": "stayed", **fields}
    return lab.write("resists", steps=[step, lab.step("after")], **{"finally": [lab.step("tidy")]})


def begun(lab: Lab) -> Runner:
    eventually((lab.root / "begun").exists, "the function")
    return lab.runners[-1]


@pytest.mark.parametrize("function", RESISTING)
def test_a_session_ends_although_a_function_does_not(lab: Lab, function: str) -> None:
    run = lab.run(stays(lab, function), "--stop-timeout", "0.3")
    begun(lab)
    with takes_less_than(10):
        lab.cancel(run.session_id, "--immediate", "--wait")
        last = run.ended()
    assert (last["status"], run.code) == ("cancelled", 4)
    (held,) = last["still_running"]
    assert held["path"] == "stays"
    assert function in (held["thread"] or held["task"])
    assert any(call.endswith(f" in {function}") for call in held["stack"])
    assert lab.show(run.session_id)["still_running"] == [held]
    assert lab.executions() == {"tidy": 1}, "what was due behind it has run"

    assert lab.resume(run.session_id).started().ended()["status"] == "completed"
    assert lab.context(run.session_id)["stayed"] == "fine"


def test_a_part_that_resists_is_left_behind_and_its_siblings_live_on(lab: Lab) -> None:
    run = lab.run(stays(lab, "shields", on_error="continue"), "--stop-timeout", "0.3")
    begun(lab)
    lab.cancel(run.session_id, "--immediate", "--at", "stays")
    last = run.ended()
    assert (last["status"], run.code) == ("completed", 0)
    assert [held["path"] for held in last["still_running"]] == ["stays"]
    assert lab.executions() == {"after": 1, "tidy": 1}


def test_a_timeout_is_no_longer_than_that(lab: Lab) -> None:
    retry = {"max_attempts": 2, "initial_delay": 0.1}
    run = lab.run(stays(lab, "swallows", timeout=0.2, retry=retry), "--stop-timeout", "0.2")
    assert run.ended()["status"] == "completed", "its second attempt does not resist"
    assert run.saw("attempt_failed", path="stays")
    assert run.saw("resisted", path="stays")


@pytest.mark.parametrize("function", ["shields", "blocks_its_thread"])
def test_the_third_ctrl_c_waits_no_longer(lab: Lab, function: str) -> None:
    run = lab.run(stays(lab, function), "--stop-timeout", "60")
    begun(lab)
    with takes_less_than(10):
        for _ in range(3):
            run.interrupt()
        last = run.ended()
    assert (last["status"], run.code) == ("cancelled", -signal.SIGINT)
    assert last["still_running"][0]["path"] == "stays"


def test_the_third_ctrl_c_ends_a_process_whose_loop_hangs(lab: Lab) -> None:
    run = lab.run(stays(lab, "keeps_the_loop"))
    begun(lab)
    with takes_less_than(10):
        while run.code is None:
            run.signal(signal.SIGINT)
            time.sleep(0.3)
    assert run.code == -signal.SIGINT
    assert "keeps the event loop" in run.stderr
    assert lab.status(run.session_id) == "interrupted"
    assert lab.resume(run.session_id).started().ended()["status"] == "completed"


def test_an_application_gets_its_result_and_may_leave(lab: Lab) -> None:
    """A backend that swallows its cancellation: the session is over, the runtime's block is not."""
    recipe = lab.write("asks", steps=[{"id": "ask", "agent": "any:one", "prompt": "hello", "output": "said"}])
    run = lab.python("-m", "tests.campaign.resisting", "swallower", str(lab.store), str(recipe)).started()
    eventually(lambda: run.saw("asked"))
    lab.cancel(run.session_id, "--immediate")
    eventually(lambda: run.saw("left"))
    result = next(line for line in run.lines() if line["event"] == "result")
    assert result["status"] == "cancelled"
    assert "agent any:one" in result["still_running"][0]
    assert result["seconds"] < 5
    after = json.dumps([line for line in run.lines() if line["event"] == "left"])
    assert '"given_up": 0' in after, "it left once the backend had ended"
    outputs = [event.data for event in lab.events(run.session_id) if isinstance(event, Output)]
    assert outputs == [b"early"], "what came too late is dropped"
    assert_no_survivors(run.session_id)
