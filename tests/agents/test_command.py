"""The backends of this version; the command backend with real processes."""

import sys
from pathlib import Path

import pytest
import trio

from tests.processes.helpers import marked_pids
from tests.steps.leaf import Told, leaf, process_trees
from trio_recipes.agents.backends.command import Answer, CommandBackend
from trio_recipes.agents.backends.echo import EchoBackend
from trio_recipes.errors import BackendError, InternalError
from trio_recipes.events import AgentBrokeOff
from trio_recipes.language.model import AgentStep
from trio_recipes.language.template import Template
from trio_recipes.runtime.ports import AgentReply, AgentRequest
from trio_recipes.steps.agent import Conversation


def conversation(log: Told) -> Conversation:
    return Conversation(leaf(AgentStep(id="step", agent="a", prompt=Template.parse("p")), log))


def shell(script: str, grace: float = 2.0) -> CommandBackend:
    return CommandBackend(("/bin/bash", "-c", script), grace)


async def ask(backend: CommandBackend, project: Path, prompt: str = "p", log: Told | None = None) -> AgentReply:
    call = conversation(log or Told())
    request = AgentRequest(agent="team:critic", prompt=prompt, key="s1/step", project=str(project), model="m1")
    async with process_trees() as trees:
        try:
            with trio.fail_after(20):
                return await backend.attached(trees).ask(request, call)
        except BackendError:
            call.end()
            raise
        finally:
            call.flush()


async def test_echo_answers_with_the_prompt() -> None:
    reply = await EchoBackend().ask(AgentRequest(agent="a", prompt="hello"), conversation(Told()))
    assert reply.text == "hello"


@pytest.mark.parametrize(
    ("printed", "text"),
    [("a\\nb\\n", "a\nb"), ("a\\n\\n", "a\n"), ("a", "a"), ("", ""), ("\\n", ""), ("é\\xff", "é\ufffd")],
)
async def test_stdout_is_the_answer_without_one_line_end(tmp_path: Path, printed: str, text: str) -> None:
    log = Told()
    assert (await ask(shell(f"printf '{printed}'"), tmp_path, log=log)).text == text
    assert log.output("text").decode() == text


async def test_a_line_end_is_the_last_one_only_if_nothing_follows() -> None:
    log = Told()
    call = conversation(log)
    answer = Answer(call)
    for piece in (b"a\n", b"\n", b"b", b"\n"):
        answer.take("stdout", piece, background=False)
        await trio.lowlevel.checkpoint()
    assert answer.reply(None).text == "a\n\nb"
    call.flush()
    assert log.output("text") == b"a\n\nb"


async def test_the_prompt_is_read_to_its_end_however_long(tmp_path: Path) -> None:
    prompt = "é" * 300_000
    assert (await ask(CommandBackend(("cat",)), tmp_path, prompt)).text == prompt


async def test_characters_cut_by_a_pipe_are_whole_in_the_answer(tmp_path: Path) -> None:
    script = "import os, time; [(os.write(1, bytes([b])), time.sleep(0.001)) for b in 'aé€😀'.encode()]"
    log = Told()
    assert (await ask(CommandBackend((sys.executable, "-c", script)), tmp_path, log=log)).text == "aé€😀"
    assert log.output("text").decode() == "aé€😀"


async def test_the_program_knows_where_it_is_and_for_whom(tmp_path: Path) -> None:
    script = 'pwd; echo "$TRIO_RECIPES_AGENT $TRIO_RECIPES_MODEL $TRIO_RECIPES_STEP_KEY"'
    assert (await ask(shell(script), tmp_path)).text == f"{tmp_path}\nteam:critic m1 s1/step"


async def test_the_program_knows_what_its_agent_is(tmp_path: Path) -> None:
    request = AgentRequest(agent="a", prompt="", project=str(tmp_path), agent_config={"system": "be brief\n", "x": 1})
    async with process_trees() as trees:
        backend = shell('echo "$TRIO_RECIPES_SYSTEM|$TRIO_RECIPES_MODEL"').attached(trees)
        with trio.fail_after(20):
            assert (await backend.ask(request, conversation(Told()))).text == "be brief\n|"


async def test_a_failing_program_is_told_with_the_end_of_stderr(tmp_path: Path) -> None:
    log = Told()
    with pytest.raises(BackendError, match=r"^'/bin/bash' exited with 4: no key$") as caught:
        await ask(shell("echo half; echo no key >&2; exit 4"), tmp_path, log=log)
    assert (caught.value.exit_code, caught.value.retryable) == (4, True)
    assert (log.output("text"), log.output("stderr")) == (b"half", b"no key\n")
    assert any(isinstance(event, AgentBrokeOff) for event in log.events)


async def test_a_program_that_fails_without_a_word_has_no_answer_that_broke_off(tmp_path: Path) -> None:
    log = Told()
    with pytest.raises(BackendError, match="exited with 1: log in first"):
        await ask(shell("echo log in first >&2; exit 1"), tmp_path, log=log)
    assert not any(isinstance(event, AgentBrokeOff) for event in log.events)


async def test_a_program_that_is_not_there_is_no_use_to_retry(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="'/no/such/agent' can't be run") as caught:
        await ask(CommandBackend(("/no/such/agent",)), tmp_path)
    assert not caught.value.retryable


async def test_cancelled_nothing_of_it_runs_and_what_it_said_is_kept(tmp_path: Path) -> None:
    log = Told()
    call = conversation(log)
    backend = shell("(trap '' TERM; exec sleep 600) & echo thinking; wait", grace=0.1)
    async with process_trees() as trees:
        with trio.fail_after(20), trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                request = AgentRequest(agent="a", prompt="", project=str(tmp_path))
                nursery.start_soon(backend.attached(trees).ask, request, call)
                await log.wait_output("text", b"thinking")
                scope.cancel()
        assert scope.cancelled_caught
        assert marked_pids(trees.runner_id) == []
    assert "SIGTERM" in log.signals
    assert call.forcible.callbacks == {}


async def test_what_it_leaves_running_ends_with_it(tmp_path: Path) -> None:
    async with process_trees() as trees:
        request = AgentRequest(agent="a", prompt="", project=str(tmp_path))
        with trio.fail_after(20):
            await shell("sleep 600 & echo done").attached(trees).ask(request, conversation(Told()))
        assert marked_pids(trees.runner_id) == []


async def test_a_backend_that_is_not_attached_is_a_bug() -> None:
    with pytest.raises(InternalError, match="attached"):
        await shell("true").ask(AgentRequest(agent="a", prompt=""), conversation(Told()))
