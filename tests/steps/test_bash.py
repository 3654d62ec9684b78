"""Bash steps, with real processes."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.processes.helpers import marked_pids
from tests.steps.leaf import Told, leaf, process_trees
from trio_recipes.errors import TemplateError
from trio_recipes.failure import FailureKind
from trio_recipes.language.model import BashStep
from trio_recipes.language.template import Template
from trio_recipes.processes import Command
from trio_recipes.runtime.ports import LeafCall, Reply
from trio_recipes.steps.bash import BashRunner
from trio_recipes.steps.coalesce import CHUNK
from trio_recipes.steps.invocation import command_of
from trio_recipes.steps.kept import IN_MEMORY


def bash(command: str, **fields: Any) -> BashStep:
    env = {name: Template.parse(text) for name, text in fields.pop("env", {}).items()}
    cwd = Template.parse(fields.pop("cwd")) if "cwd" in fields else None
    return BashStep(id="step", command=Template.parse(command), env=env, cwd=cwd, **fields)


async def run(call: LeafCall, **options: Any) -> Reply:
    """Run a step. At the moment it is done, its record must hold its value."""
    async with process_trees() as trees:
        with trio.fail_after(20):
            reply = await BashRunner(trees, **options)(call)
        assert isinstance(call.log, Told)
        assert call.log.output("stdout").decode("utf-8", "replace") == (reply.text or "")
        return reply


async def test_stdout_is_the_value_and_is_recorded_whole(tmp_path: Path) -> None:
    log = Told()
    reply = await run(leaf(bash("echo '{{greeting}}'; echo oops >&2; printf '\\xff'"), log, tmp_path, greeting="hi"))
    assert reply == Reply(text="hi\n\ufffd", channel="stdout", exit_code=0)
    assert log.output("stdout") == b"hi\n\xff"
    assert log.output("stderr") == b"oops\n"


async def test_a_failure_says_the_code_and_the_end_of_stderr(tmp_path: Path) -> None:
    noise = "for i in $(seq 2000); do echo line $i >&2; done; echo partial; exit 3"
    log = Told()
    reply = await run(leaf(bash(noise), log, tmp_path))
    assert (reply.text, reply.exit_code) == ("partial\n", 3)
    assert reply.failure is not None
    assert (reply.failure.kind, reply.failure.exit_code) == (FailureKind.EXIT, 3)
    assert reply.failure.message.startswith("step 'step': the command exited with 3: ")
    assert reply.failure.message.endswith("line 2000")
    assert len(reply.failure.message) < 4200
    assert log.output("stderr").startswith(b"line 1\n")


async def test_a_signal_has_its_name_in_the_message(tmp_path: Path) -> None:
    reply = await run(leaf(bash("kill -KILL $$"), Told(), tmp_path))
    assert reply.failure is not None
    assert (reply.exit_code, reply.failure.message) == (-9, "step 'step': the command was ended by SIGKILL")


async def test_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    names = ["TEXT", "LIST", "FLAG", "NOTHING", "NUMBER"]
    step = bash(
        f"{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'",
        env={"OWN": "<{{TEXT}}>"},
        env_from_context=tuple(names),
    )
    values = {"TEXT": "a'b $(x)", "LIST": ["é", 1], "FLAG": True, "NOTHING": None, "NUMBER": 2.5}
    reply = await run(leaf(step, Told(), tmp_path, attempt=2, **values))
    assert reply.text is not None
    env = json.loads(reply.text)
    assert [env[name] for name in names] == ["a'b $(x)", '["é", 1]', "true", "", "2.5"]
    assert (env["OWN"], env["INHERITED"]) == ("<a'b $(x)>", "yes")
    assert env["AMPLIFIER_PYTHON"] == env["TRIO_RECIPES_PYTHON"] == sys.executable
    assert (env["TRIO_RECIPES_STEP_KEY"], env["TRIO_RECIPES_ATTEMPT"]) == ("s1/step", "2")


async def test_without_inheritance_only_the_basics_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "secret")
    reply = await run(leaf(bash("echo ${API_TOKEN-unset} ${PATH:+path}"), Told(), tmp_path), inherit_env=False)
    assert reply.text == "unset path\n"


async def test_cwd_is_relative_to_the_project(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    reply = await run(leaf(bash("pwd -P", cwd="{{folder}}"), Told(), tmp_path, folder="sub"))
    assert reply.text == f"{(tmp_path / 'sub').resolve()}\n"


@pytest.mark.parametrize(("cwd", "why"), [("gone", "No such file"), ("file", "Not a directory")])
async def test_an_unusable_cwd_is_named(tmp_path: Path, cwd: str, why: str) -> None:
    (tmp_path / "file").touch()
    reply = await run(leaf(bash("true", cwd=cwd), Told(), tmp_path))
    assert reply.failure is not None
    assert reply.failure.kind is FailureKind.TEMPLATE
    assert not reply.failure.retryable
    assert str(tmp_path / cwd) in reply.failure.message
    assert why in reply.failure.message


async def test_an_unknown_variable_is_the_callers_to_report(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="nobody"):
        await run(leaf(bash("echo {{nobody}}"), Told(), tmp_path))
    with pytest.raises(TemplateError, match="nobody"):
        await run(leaf(bash("true", env_from_context=("nobody",)), Told(), tmp_path))


@pytest.mark.parametrize(
    ("fields", "variables", "message"),
    [
        ({"command": "echo {{x}}"}, {"x": "a\0b"}, "the command holds a NUL character"),
        ({"command": "echo {{x}}"}, {"x": "y" * 131_072}, "the command is 131,077 bytes long"),
        ({"command": "echo {{x}}"}, {"x": "\ud800"}, "half of a surrogate pair"),
        ({"command": ":", "env_from_context": ("x",)}, {"x": "y" * 131_070}, "'x' is 131,072 bytes long"),
        ({"command": ":", "env": {"A": "{{x}}"}}, {"x": "\0"}, "'A' holds a NUL character"),
        ({"command": ":", "env": {"A=B": "x"}}, {}, "'A=B' can't be the name"),
        ({"command": ":", "cwd": "{{x}}"}, {"x": "\0"}, "cwd holds a NUL character"),
    ],
)
async def test_what_the_kernel_refuses_is_told_before_it_does(
    tmp_path: Path, fields: dict[str, Any], variables: dict[str, Any], message: str
) -> None:
    reply = await run(leaf(bash(**fields), Told(), tmp_path, **variables))
    assert reply.failure is not None
    assert message in reply.failure.message
    assert reply.failure.kind is FailureKind.TEMPLATE
    assert not reply.failure.retryable


async def test_the_longest_command_runs(tmp_path: Path) -> None:
    reply = await run(leaf(bash("echo ok #{{x}}"), Told(), tmp_path, x="y" * (131_071 - len("echo ok #"))))
    assert reply.text == "ok\n"


async def test_much_output_arrives_whole_in_few_chunks(tmp_path: Path) -> None:
    size = IN_MEMORY + 5 * 65536 + 7
    log = Told()
    reply = await run(leaf(bash(f"head -c {size} /dev/zero | tr '\\0' x"), log, tmp_path))
    assert reply.text == "x" * size
    chunks = log.chunks("stdout")
    assert b"".join(chunks) == b"x" * size
    assert all(65536 <= len(chunk) <= CHUNK for chunk in chunks[:-1])


async def test_output_is_seen_while_the_command_runs(tmp_path: Path) -> None:
    log = Told()
    step = bash("echo first; read line < fifo; echo $line")
    os.mkfifo(tmp_path / "fifo")

    async def answer_when_seen() -> None:
        await log.wait_output("stdout", b"first\n")
        await (trio.Path(tmp_path) / "fifo").write_text("second\n")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_when_seen)
        reply = await run(leaf(step, log, tmp_path))
    assert reply.text == "first\nsecond\n"


async def cancelled_at(text: bytes, call: LeafCall, log: Told, *, force: bool = False) -> None:
    """Run a step, and cancel it when it has printed ``text``; nothing of it may be left."""
    async with process_trees() as trees:
        with trio.fail_after(20), trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(BashRunner(trees), call)
                await log.wait_output("stdout", text)
                scope.cancel()
                if force:
                    call.forcible.force()
        assert scope.cancelled_caught
        assert marked_pids(trees.runner_id) == []


async def test_cancelled_nothing_runs_and_partial_output_is_recorded(tmp_path: Path) -> None:
    log = Told()
    step = bash("trap 'echo bye; exit 0' TERM; (trap '' TERM; exec sleep 600) & echo up; wait", kill_grace=0.2)
    call = leaf(step, log, tmp_path)
    await cancelled_at(b"up", call, log)
    assert log.output("stdout") == b"up\nbye\n"
    assert log.signals[0] == "SIGTERM"
    assert "SIGKILL" in log.signals
    assert log.resisted == []
    assert call.forcible.callbacks == {}


async def test_force_drops_the_grace_period(tmp_path: Path) -> None:
    log = Told()
    call = leaf(bash("trap '' TERM; echo up; exec sleep 600", kill_grace=60), log, tmp_path)
    await cancelled_at(b"up", call, log, force=True)
    assert "SIGKILL" in log.signals


async def test_the_stop_signal_is_the_steps(tmp_path: Path) -> None:
    log = Told()
    call = leaf(bash("trap 'echo got INT; exit 0' INT; echo up; sleep 600 & wait", stop_signal="INT"), log, tmp_path)
    await cancelled_at(b"up", call, log)
    assert log.output("stdout") == b"up\ngot INT\n"


async def test_late_output_is_marked_background_and_no_part_of_the_value(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    log = Told()
    call = leaf(bash("(read x < go; echo late; exec sleep 600) & echo now"), log, tmp_path)
    async with process_trees() as trees:
        with trio.fail_after(20):
            reply = await BashRunner(trees)(call)
            await (trio.Path(tmp_path) / "go").write_text("\n")
            await log.wait_output("stdout", b"late\n", background=True)
    assert reply.text == "now\n"
    assert log.output("stdout") == b"now\n"


def test_how_it_wants_to_be_stopped_is_the_steps(tmp_path: Path) -> None:
    step = bash("true", kill_grace=7.0, stop_signal="INT", background="kill")
    command = command_of(step, leaf(step, Told(), tmp_path, attempt=3), inherit_env=False)
    assert isinstance(command, Command)
    assert (command.kill_grace, command.stop_signal, command.background) == (7.0, signal.SIGINT, "kill")
    assert (command.session_id, command.key, command.attempt) == ("s1", "s1/step", 3)
