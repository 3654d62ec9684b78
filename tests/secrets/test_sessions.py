"""Secrets through the Python API: where values come from, what is recorded, what observers and loggers see."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.frontends.running import eventually, stands
from trio_recipes import ApprovalGatePausedError, ConfigurationError, SessionStatus, StepFailedError, open_runtime
from trio_recipes.events import Output, RunEnded, ScopeFinished, SessionCreated, Stamped
from trio_recipes.language.load import parse_recipe
from trio_recipes.language.model import Recipe
from trio_recipes.masking import MASK
from trio_recipes.progress.vault import Vault
from trio_recipes.sessions.history import read_history
from trio_recipes.sessions.logs import LOGGERS, hide_in_logs
from trio_recipes.sessions.session import Session
from trio_recipes.store.codec import from_row, to_public, to_row

VALUE = "sesame-open-0815"
HEAD = "name: r\ndescription: d\nversion: 1.0.0\nsecrets: [token]\n"


def recipe(steps: str, head: str = "") -> Recipe:
    return parse_recipe(f"{HEAD}{head}\n{steps}")


def use(token: object) -> dict[str, object]:
    """A function that gives the secret back."""
    return {"got": token, "in": [f"<{token}>", 1]}


def refuse(token: str) -> None:
    raise ValueError(token)


FUNCTIONS = {"use": use, "refuse": refuse}
USE = "steps:\n- {id: f, type: function, function: use, args: {token: '{{token}}'}, output: final_output}"
GATE = (
    "stages:\n- name: one\n  approval: {required: true, prompt: 'With {{token}}?'}\n"
    "  steps: [{id: f, type: function, function: use, args: {token: '{{token}}'}, output: first}]\n"
    "- name: two\n  steps: [{id: g, type: function, function: use, args: {token: '{{token}}'}, output: second}]"
)


async def seen(session: Session) -> list[Any]:
    return [stamped.event async for stamped in session.events()]


def recorded(session: Session) -> list[Any]:
    with session.log.file.reading() as connection:
        return [from_row(row).event for row in session.log.file.rows(connection)]


async def test_the_caller_gets_its_value_and_everybody_else_a_mask() -> None:
    told: list[Stamped] = []
    async with open_runtime(functions=FUNCTIONS, observe=lambda _id, stamped: told.append(stamped)) as runtime:
        session = await runtime.start(recipe(USE), {"token": VALUE, "other": 1})
        result = await session.wait()
        assert result.final_output == use(VALUE)
        assert result.context["token"] == VALUE
        assert result.shown_output == use(MASK)
        assert VALUE not in repr(result)
        shown = await seen(session)
    assert [stamped.event for stamped in told] == shown[-len(told) :]
    assert VALUE not in repr(shown)
    assert next(event for event in shown if isinstance(event, ScopeFinished) and event.path == "f").value == use(MASK)
    created, *rest = recorded(session)
    assert isinstance(created, SessionCreated)
    assert created.context == {"token": {"$secret": "token"}, "other": 1}
    assert [event for event in rest if VALUE in repr(event)] == [
        event for event in rest if isinstance(event, ScopeFinished) and event.path == "f"
    ]
    assert VALUE not in repr([to_public(stamped, session.id) for stamped in told])


async def test_a_resumed_session_has_the_variables_of_one_that_ran_through(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_runtime(functions=FUNCTIONS) as runtime:
        session = await runtime.start(recipe(GATE), {"token": VALUE})
        paused = await session.wait()
        with pytest.raises(ApprovalGatePausedError, match=re.escape("With ***?")):
            paused.unwrap()
        await runtime.approve(session.id, "one")
        with pytest.raises(ConfigurationError, match="secret 'token' of recipe 'r' has no value"):
            await runtime.resume(session.id)
        assert read_history(session.log.file).progress.run == 1
        monkeypatch.setenv("token", VALUE)
        result = await (await runtime.resume(session.id)).wait()
    assert result.unwrap() == {"token": VALUE, "first": use(VALUE), "second": use(VALUE)}


async def test_values_come_from_the_caller_then_the_environment_then_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, dotted = recipe(USE), recipe(USE, "context: {token: in-the-text}")
    async with open_runtime(functions=FUNCTIONS) as runtime:

        async def got(which: Recipe, **given: object) -> Any:
            result = await (await runtime.start(which, given)).wait()
            assert isinstance(result.final_output, dict)
            return result.final_output["got"]

        with pytest.raises(ConfigurationError):
            await got(plain)
        assert await got(dotted) == "in-the-text"
        monkeypatch.setenv("token", "from outside")
        assert await got(dotted) == await got(plain) == "from outside"
        assert await got(plain, token=["by", "the caller"]) == ["by", "the caller"]


async def test_a_resume_takes_values_that_it_is_given() -> None:
    async with open_runtime(functions=FUNCTIONS) as runtime:
        session = await runtime.start(recipe(GATE), {"token": VALUE})
        await session.wait()
        await runtime.approve(session.id, "one")
        result = await (await runtime.resume(session.id, secrets={"token": VALUE, "others": "unused"})).wait()
    assert result.unwrap()["second"] == use(VALUE)
    assert "others" not in result.context


async def test_an_exception_is_a_masked_failure_wherever_it_is_told() -> None:
    text = "steps:\n- {id: f, type: function, function: refuse, args: {token: '{{token}}'}}"
    async with open_runtime(functions=FUNCTIONS) as runtime:
        session = await runtime.start(recipe(text), {"token": VALUE})
        result = await session.wait()
    assert result.failure is not None
    assert result.failure.message == "step 'f': ValueError: ***"
    with pytest.raises(StepFailedError, match=re.escape("ValueError: ***")):
        result.unwrap()
    assert VALUE not in repr(recorded(session))


async def test_output_is_recorded_as_it_came_with_where_the_secret_stands() -> None:
    text = (
        'steps:\n- {id: b, type: bash, command: \'printf 12; printf "%s" "${token:0:7}"; sleep 0.2;'
        ' printf "%s" "${token:7}"; printf 34\', env_from_context: [token]}'
    )
    async with open_runtime() as runtime:
        session = await runtime.start(recipe(text), {"token": VALUE})
        await session.wait()
        shown = [event.data for event in await seen(session) if isinstance(event, Output)]
    output = [event for event in recorded(session) if isinstance(event, Output)]
    assert b"".join(event.data for event in output) == f"12{VALUE}34".encode()
    assert b"".join(shown) == b"12***34"
    assert [event.data[begin:end].decode() for event in output for begin, end in event.secrets] == [VALUE]
    row = to_row(Stamped(1, 1, 1, output[-1]))
    assert from_row(row).event == output[-1]


async def test_a_cancelled_session_is_finished_even_without_the_value(tmp_path: Path) -> None:
    text = (
        f"{GATE}\nfinally:\n- {{id: needs, type: bash, command: 'true', env_from_context: [token], on_error: continue}}"
        "\n- {id: free, type: bash, command: touch free}"
    )
    async with open_runtime(functions=FUNCTIONS, project=tmp_path) as runtime:
        session = await runtime.start(recipe(text), {"token": VALUE})
        await session.wait()
        assert await runtime.cancel(session.id)
    await trio.to_thread.run_sync(lambda: eventually(lambda: stands("cancelled", session.id)))
    records = read_history(session.log.file).progress.records
    failure = records["~finally/needs"].failure
    assert failure is not None
    assert "there is no variable 'token'" in failure.message
    assert (tmp_path / "free").exists()


# --- sub-recipes -------------------------------------------------------------------------------------------------


def sub_recipes(folder: Path, call: str) -> Path:
    (folder / "sub.yaml").write_text(
        "name: sub\ndescription: d\nversion: 1.0.0\nsecrets: [inner]\n"
        "steps: [{id: f, type: function, function: use, args: {token: '{{inner}}'}, output: final_output}]"
    )
    (folder / "root.yaml").write_text(
        f"name: root\ndescription: d\nversion: 1.0.0\ncontext: {{plain: from-a-variable}}\n"
        f"steps: [{{id: call, type: recipe, {call}}}]"
    )
    return folder / "root.yaml"


async def test_a_sub_recipe_masks_what_it_is_passed(tmp_path: Path) -> None:
    async with open_runtime(functions=FUNCTIONS) as runtime:
        root = sub_recipes(tmp_path, "recipe: sub.yaml, context: {inner: '{{plain}}'}")
        session = await runtime.start(root)
        assert (await session.wait()).status is SessionStatus.COMPLETED
        finished = next(
            event
            for event in await seen(session)
            if getattr(event, "path", "") == "call/f" and isinstance(event, ScopeFinished)
        )
    assert finished.value == use(MASK)


@pytest.mark.parametrize("name", ["sub.yaml", "'{{name}}'"])
async def test_a_sub_recipes_secret_may_come_from_the_environment(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sub_recipes(tmp_path, f"recipe: {name}")
    async with open_runtime(functions=FUNCTIONS) as runtime:
        if name == "sub.yaml":  # known beforehand: refused
            with pytest.raises(ConfigurationError, match="secret 'inner' of recipe 'sub'"):
                await runtime.start(root)
        else:  # its step fails
            failed = await (await runtime.start(root, {"name": "sub.yaml"})).wait()
            assert failed.failure is not None
            assert "no value for its secret 'inner'" in failed.failure.message
        monkeypatch.setenv("inner", VALUE)
        session = await runtime.start(root, {"name": "sub.yaml"})
        result = await session.wait()
        assert result.final_output == {"final_output": use(VALUE)}
        assert VALUE not in repr(await seen(session))


# --- looking without the value -----------------------------------------------------------------------------------


async def test_showing_copes_with_conditions_on_values_it_does_not_know() -> None:
    text = (
        f"steps:\n- id: l\n  foreach: '{{{{token}}}}'\n  condition: \"{{{{token}}}} != '{MASK}'\"\n  output: last\n"
        "  type: function\n  function: use\n  args: {token: '{{item}}'}"
    )
    async with open_runtime(functions=FUNCTIONS) as runtime:
        session = await runtime.start(recipe(text), {"token": ["first-one", "second-one"]})
        assert (await session.wait()).status is SessionStatus.COMPLETED
    history = read_history(session.log.file)
    assert isinstance(history.progress.ended, RunEnded)
    assert "first-one" not in repr((history.frame.variables, history.progress.records))


# --- logs --------------------------------------------------------------------------------------------------------


def test_every_logger_of_the_package_masks() -> None:
    package = Path(__file__).parents[2] / "trio_recipes"
    found: set[str] = set()
    for file in package.rglob("*.py"):
        for name in re.findall(r"getLogger\(([^)]+)\)", file.read_text()):
            module = ".".join(file.relative_to(package.parent).with_suffix("").parts)
            found |= {module} if name == "__name__" else {name.strip('"')} if name.startswith('"') else set()
    assert found == set(LOGGERS)


def test_a_log_record_holds_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    vault = Vault()
    vault.open(recipe(USE), {"token": VALUE})
    hide_in_logs(vault)
    try:
        raise ValueError(VALUE)
    except ValueError:
        logging.getLogger("trio_recipes.steps").warning("with %s", {"k": VALUE}, exc_info=True)
    assert VALUE not in caplog.text
    assert "with {'k': '***'}" in caplog.text
    assert "ValueError: ***" in caplog.text


def test_what_is_logged_for_nobody_in_particular_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("trio_recipes.steps").warning("a %s", "b")
    assert caplog.records[-1].getMessage() == "a b"


# --- running out of time -----------------------------------------------------------------------------------------


async def test_a_session_that_is_killed_by_its_deadline_masks_too() -> None:
    text = "steps:\n- {id: b, type: bash, command: 'echo $token; sleep 60', env_from_context: [token]}"
    async with open_runtime() as runtime:
        session = await runtime.start(recipe(text), {"token": VALUE})
        with trio.fail_after(20):
            async for stamped in session.events():
                if isinstance(stamped.event, Output):
                    session.cancel(f"saw {VALUE}", immediate=True)
        result = await session.wait()
    assert result.cancellation is not None
    assert result.cancellation.reason == "saw ***"
    assert VALUE not in repr([event for event in recorded(session) if not isinstance(event, Output)])
