"""``recursion.max_total_steps`` counts agent steps by their places, in a run that is resumed as in any other."""

import pytest
import trio

from tests.runtime.harness import World, fails, recipe
from tests.runtime.test_resume_property import in_virtual_time, run_once
from trio_recipes.events import SessionStatus
from trio_recipes.failure import FailureKind
from trio_recipes.runtime.ports import LeafCall, Reply

BODY = """
steps:
- id: tried
  foreach: "{{items}}"
  parallel: PARALLEL
  retry: {max_attempts: 3, initial_delay: 1, backoff: linear}
  steps:
  - {id: ask, agent: a, prompt: p}
  - {id: check, type: bash, command: c}
- {id: call, type: recipe, recipe: sub, retry: {max_attempts: 2, initial_delay: 1}}
- {id: last, agent: a, prompt: p, retry: {max_attempts: 2, initial_delay: 1}}
"""
SUB = recipe("steps:\n- {id: ask, agent: a, prompt: p}\n- {id: flaky, type: bash, command: c}", "sub")
NEEDED = 4
"""Two items, one call, and the last."""


def world(limit: int, parallel: str = "false") -> World:
    head = f"context: {{items: [x, y]}}\nrecursion: {{max_total_steps: {limit}}}"
    tries: dict[str, int] = {}

    async def flaky(call: LeafCall) -> Reply:
        """Fails with the first attempt at what is around it: it can't know of that itself."""
        tries[call.path] = tries.get(call.path, 0) + 1
        return await fails(1 if tries[call.path] == 1 else 0, seconds=1)(call)

    async def answers(_call: LeafCall) -> Reply:
        await trio.sleep(1)
        return Reply(value="answer")

    script = {"ask": answers, "last": answers, "check": flaky, "flaky": flaky}
    return World(recipe(BODY.replace("PARALLEL", parallel), head=head), script, {"sub": SUB})


@pytest.mark.parametrize("parallel", ["true", "false"])
def test_attempts_that_failed_use_up_nothing(parallel: str) -> None:
    assert in_virtual_time(run_once, world(NEEDED, parallel)).status is SessionStatus.COMPLETED
    ended = in_virtual_time(run_once, world(NEEDED - 1, parallel))
    assert (ended.status, ended.failure.kind) == (SessionStatus.FAILED, FailureKind.LIMIT)
    assert ended.failure.path == "last"


@pytest.mark.parametrize("parallel", ["true", "false"])
@pytest.mark.parametrize("limit", range(1, NEEDED + 1))
def test_a_run_that_crashed_at_any_event_is_refused_what_one_is_that_did_not(limit: int, parallel: str) -> None:
    whole = world(limit, parallel)
    expected = in_virtual_time(run_once, whole)
    for upto in range(1, len(whole.log.events)):
        crashed = world(limit, parallel)
        in_virtual_time(run_once, crashed)
        del crashed.log.events[upto:]
        ended = in_virtual_time(run_once, crashed)
        assert ended.status is expected.status
        if expected.failure:
            assert ended.failure.kind is FailureKind.LIMIT
        if expected.failure and parallel == "false":  # else it is chance which of two comes first
            assert ended.failure.path == expected.failure.path
