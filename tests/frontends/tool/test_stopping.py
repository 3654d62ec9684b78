"""`cancel`, and what it says: in this process, in another one, twice, too late."""

from pathlib import Path

import trio

from tests.frontends.running import QUICK, gated, running, shown, write_recipe
from tests.frontends.tool.calling import SLOW, calling, pending
from trio_recipes.testing import assert_no_survivors


async def test_gracefully_the_step_in_hand_is_finished(project: Path) -> None:
    async with calling(project) as call, pending(call, operation="execute", recipe_path=call.recipe(SLOW)) as one:
        session = await one.reaches("slow")
        got = await call("cancel", session_id=session.id, reason="changed my mind")
        assert (got["success"], got["status"], got["level"]) == (True, "cancellation_requested", "graceful")
        assert (got["session_id"], got["session_status"]) == (session.id, "cancelling")
        assert "cancel" in got["next_steps"]
        assert session.id in got["resume_info"]
        call.open_gate()
        ended = await one.end()
        assert (ended["success"], ended["type"]) == (False, "CancellationRequestedError")
        assert ended["message"].startswith("Recipe execution failed: graceful cancellation")
        assert ended["session_id"] == session.id
        stands = await call("status", session_id=session.id)
    assert stands["status"] == "cancelled"
    assert stands["steps"] == {"completed": 2}
    assert stands["cancellation"]["reason"] == "changed my mind"
    assert stands["cancellation"]["source"] == "tool"


async def test_immediately_what_is_in_flight_is_stopped(project: Path) -> None:
    async with calling(project) as call, pending(call, operation="execute", recipe_path=call.recipe(SLOW)) as one:
        session = await one.reaches("slow")
        got = await call("cancel", session_id=session.id, immediate=True)
        assert got["level"] == "immediate"
        assert (await one.end())["current_step"] == "slow"
        assert_no_survivors(session.id)


async def test_a_second_graceful_request_means_now(project: Path) -> None:
    async with calling(project) as call, pending(call, operation="execute", recipe_path=call.recipe(SLOW)) as one:
        session = await one.reaches("slow")
        levels = [(await call("cancel", session_id=session.id))["level"] for _ in range(2)]
        await one.end()
    assert levels == ["graceful", "immediate"]


async def test_one_request_sent_twice_is_one(project: Path) -> None:
    async with calling(project) as call, pending(call, operation="execute", recipe_path=call.recipe(SLOW)) as one:
        session = await one.reaches("slow")
        levels = [(await call("cancel", session_id=session.id, request_id="r-1"))["level"] for _ in range(2)]
        call.open_gate()
        await one.end()
        stands = await call("status", session_id=session.id)
    assert levels == ["graceful", "graceful"]
    assert stands["cancellation"]["was_immediate"] is False


async def test_a_grace_period_ends_it(project: Path) -> None:
    async with calling(project) as call, pending(call, operation="execute", recipe_path=call.recipe(SLOW)) as one:
        session = await one.reaches("slow")
        assert (await call("cancel", session_id=session.id, grace=0.05))["level"] == "graceful"
        assert "immediate cancellation" in (await one.end())["message"]


async def test_a_part_of_it(project: Path) -> None:
    steps = SLOW.replace("- id: slow", "- id: slow\n  on_error: continue")
    async with calling(project) as call, pending(call, operation="execute", recipe_path=call.recipe(steps)) as one:
        session = await one.reaches("slow")
        got = await call("cancel", session_id=session.id, at="slow", immediate=True)
        assert (got["at"], got["resume_info"]) == ("slow", "The rest of the session goes on.")
        assert (await one.end())["status"] == "completed"
        late = await call("cancel", session_id=session.id, at="slow")
    assert late["message"] == f"Session already completed: {session.id}. Nothing is left to cancel."


async def test_a_part_that_there_is_not(project: Path) -> None:
    async with calling(project) as call, pending(call, operation="execute", recipe_path=call.recipe(SLOW)) as one:
        session = await one.reaches("slow")
        unknown = await call("cancel", session_id=session.id, at="slwo")
        malformed = await call("cancel", session_id=session.id, at="a//b")
        ended = await call("cancel", session_id=session.id, at="first")
        assert session.status == "running"
        call.open_gate()
        await one.end()
    assert (unknown["type"], "did you mean 'slow'" in unknown["message"]) == ("UnknownScopeError", True)
    assert malformed["type"] == "UnknownScopeError"
    assert ended["message"] == f"Too late: 'first' of session {session.id} has finished already."


async def test_what_is_cancelled_or_finished_is_told_so(project: Path) -> None:
    async with calling(project) as call:
        paused = (await call("execute", recipe_path=call.staged()))["session_id"]
        first, again = [await call("cancel", session_id=paused) for _ in range(2)]
        done = (await call("execute", recipe_path=call.recipe(QUICK)))["session_id"]
        late = await call("cancel", session_id=done)
        unknown = await call("cancel", session_id="0123456789abcdef-20200101-000000_recipe")
    assert (first["status"], first["session_status"]) == ("cancellation_requested", "cancelled")
    assert again["message"] == f"Session already cancelled: {paused}. Use 'resume' to restart."
    assert late["message"] == f"Session already completed: {done}. Nothing is left to cancel."
    assert (
        unknown["message"]
        == "Session not found: 0123456789abcdef-20200101-000000_recipe. Use 'list' to see those of this project."
    )
    assert not any(each["success"] for each in (again, late, unknown))


async def test_a_session_that_another_process_runs(project: Path) -> None:
    recipe = write_recipe(project, gated("wait") + QUICK)
    async with calling(project) as call:
        with running("run", recipe, cwd=project) as run:
            await trio.to_thread.run_sync(lambda: run.until("scope_started", path="wait"))
            listed = await call("list")
            looked = await call("status", session_id=run.session_id)
            refused = await call("resume", session_id=run.session_id)  # once it is cancelled, that would run it here
            got = await call("cancel", session_id=run.session_id, immediate=True)
            last = await trio.to_thread.run_sync(run.end)
        again = await call("cancel", session_id=run.session_id)
    assert [each["session_id"] for each in listed["sessions"]] == [run.session_id]
    assert (looked["status"], looked["running"]) == ("running", ["wait"])
    assert (got["level"], last["status"], run.code) == ("immediate", "cancelled", 4)
    assert refused["type"] == "SessionBusyError"
    assert again["message"].startswith("Session already cancelled")
    assert shown(run.session_id)["cancellation"]["source"] == "tool"
