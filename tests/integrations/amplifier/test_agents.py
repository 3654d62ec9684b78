"""Agent steps: what `session.spawn` is asked, what becomes of its answers, and that it is really cancelled."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.amplifier.hosting import hosting, recipe
from trio_recipes.integrations.amplifier.preferences import Preference, preferences
from trio_recipes.runtime.ports import AgentRequest

ASK = "- {id: ask, agent: 'zen:architect', prompt: 'Look at {{name}}', mode: ANALYZE, output: said%s}"
HEAD = "context: {name: it}\norchestrator: {config: {effort: low}}"


def answering(answer: Any) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def spawn(**_: Any) -> Any:
        await asyncio.sleep(0)
        return answer

    return spawn


def test_what_the_spawner_is_asked(tmp_path: Path) -> None:
    spawn = answering("an answer")

    async def main() -> None:
        async with hosting(tmp_path) as app:
            app.answer(spawn)
            app.coordinator.config["agents"] = {"zen:architect": {"description": "thinks"}}
            got = await app("execute", recipe_path=recipe(tmp_path, ASK % ", spawn_mode: subprocess", HEAD))
            assert got["summary"]["final_output"] == "an answer"
            (asked,) = app.asked
            assert asked == {
                "agent_name": "zen:architect",
                "instruction": "MODE: ANALYZE\n\nLook at it",
                "parent_session": app.coordinator.session,
                "agent_configs": {"zen:architect": {"description": "thinks"}},
                "sub_session_id": None,
                "orchestrator_config": {"effort": "low"},
                "provider_preferences": None,
                "session_metadata": {
                    "agent_name": "zen:architect",
                    "recipe_name": "probe",
                    "recipe_step": "ask",
                    "recipe_step_index": 0,
                },
                "use_subprocess": True,
            }

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("text", "text"),
        ({"output": "text", "session_id": "s", "anything": object()}, "text"),
        ({"output": [1, 2]}, [1, 2]),
        ({"plain": True}, {"plain": True}),
        (None, None),
    ],
)
def test_what_answers_become(tmp_path: Path, answer: Any, value: Any) -> None:
    spawn = answering(answer)

    async def main() -> Any:
        async with hosting(tmp_path) as app:
            app.answer(spawn)
            return (await app("execute", recipe_path=recipe(tmp_path, ASK % "", HEAD)))["summary"]["final_output"]

    assert asyncio.run(main()) == value


def test_a_parallel_batch_has_one_id(tmp_path: Path) -> None:
    spawn = answering("x")

    steps = "- {id: each, foreach: '{{list}}', parallel: true, agent: a, prompt: '{{item}}', collect: all}"

    async def main() -> None:
        async with hosting(tmp_path) as app:
            app.answer(spawn)
            await app("execute", recipe_path=recipe(tmp_path, steps, "context: {list: [1, 2, 3]}"))
            groups = {asked["session_metadata"]["parallel_group_id"] for asked in app.asked}
            assert (len(app.asked), len(groups)) == (3, 1)

    asyncio.run(main())


def test_a_step_of_a_sub_recipe_knows_whose_it_is(tmp_path: Path) -> None:
    spawn = answering("x")

    recipe(tmp_path, "- {id: a, type: bash, command: 'true'}\n- {id: b, agent: a, prompt: p}", name="inner")

    async def main() -> None:
        async with hosting(tmp_path) as app:
            app.answer(spawn)
            await app("execute", recipe_path=recipe(tmp_path, "- {id: sub, type: recipe, recipe: inner.yaml}"))
            metadata = app.asked[0]["session_metadata"]
            assert (metadata["recipe_name"], metadata["recipe_step_index"]) == ("inner", 1)

    asyncio.run(main())


def test_what_fails_is_tried_again(tmp_path: Path) -> None:
    async def spawn(**_: Any) -> str:
        await asyncio.sleep(0)
        if len(app_box[0].asked) < 3:
            raise RuntimeError("HTTP 429: slow down")
        return "at last"

    app_box: list[Any] = []
    step = ASK % ", retry: {max_attempts: 3, initial_delay: 0.01}"

    async def main() -> dict[str, Any]:
        async with hosting(tmp_path) as app:
            app_box.append(app)
            app.answer(spawn)
            return await app("execute", recipe_path=recipe(tmp_path, step, HEAD))

    assert asyncio.run(main())["summary"]["final_output"] == "at last"


def test_nobody_to_spawn_is_said_before_anything_runs(tmp_path: Path) -> None:
    steps = "- {id: first, type: bash, command: touch begun}\n" + ASK % ""

    async def main() -> dict[str, Any]:
        async with hosting(tmp_path) as app:
            return await app("execute", recipe_path=recipe(tmp_path, steps, HEAD))

    refused = asyncio.run(main())
    assert (refused["success"], refused["type"]) == (False, "ConfigurationError")
    assert "session.spawn" in refused["message"]
    assert not (tmp_path / "begun").exists()


@pytest.mark.parametrize("known", [["reviewer"], {"reviewer": {}}, lambda: {"reviewer"}])
def test_validate_warns_of_agents_that_the_application_does_not_have(tmp_path: Path, known: Any) -> None:
    async def main() -> None:
        async with hosting(tmp_path) as app:
            path = recipe(tmp_path, "- {id: a, agent: reviewer, prompt: p}\n- {id: b, agent: reviever, prompt: p}")
            assert (await app("validate", recipe_path=path))["warnings"] == []
            app.coordinator.available_agents = known
            (warning,) = (await app("validate", recipe_path=path))["warnings"]
            assert warning.startswith("Agent 'reviever' of step 'b' is not among those of this Amplifier session")
            assert "reviewer" in warning

    asyncio.run(main())


@pytest.mark.parametrize("how", ["cancel", "token", "task", "timeout"])
def test_the_spawner_is_really_cancelled(tmp_path: Path, how: str) -> None:
    ends: list[str] = []

    async def spawn(**_: Any) -> str:
        (tmp_path / "begun").touch()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)  # its own clean-up is waited for
            ends.append("cancelled")
            raise
        return "never"

    async def main() -> None:
        async with hosting(tmp_path) as app:
            app.answer(spawn)
            more = ", timeout: 1" if how == "timeout" else ""
            call = app.begin("execute", recipe_path=recipe(tmp_path, ASK % more, HEAD))
            session_id = await app.at_slow()
            if how == "cancel":
                await app("cancel", session_id=session_id, immediate=True)
            elif how == "token":
                app.coordinator.cancellation.request_immediate()
            elif how == "task":
                call.cancel()
            got = (await asyncio.gather(call, return_exceptions=True))[0]
            assert ends == ["cancelled"]
            assert isinstance(got, asyncio.CancelledError) == (how == "task")

    asyncio.run(main())


# --- who is to answer --------------------------------------------------------------------------------------------


class Roles:
    """A `model_role_resolver`."""

    async def resolve(self, role: str) -> list[Preference]:
        return [Preference("anthropic", f"for-{role}")] if role != "unknown" else []


FAST, ONE = [Preference("anthropic", "for-fast")], [Preference("openai", "gpt-*")]
PLAIN = ({"provider": "openai", "model": "gpt-*"},)
AGENTS = {
    "fast": {"model_role": "fast"},
    "one": {"provider_preferences": list(PLAIN), "model_role": "fast"},
    "text": "only a description",
}


@pytest.mark.parametrize(
    ("wants", "found"),
    [
        ({"provider_preferences": PLAIN, "model_role": "fast"}, ONE),
        ({"provider_preferences": ({"class": "fast"}, *PLAIN)}, [*FAST, *ONE]),
        ({"model_role": "fast", "provider": "openai"}, FAST),
        ({"model_role": "unknown", "provider": "openai", "model": "gpt-*"}, ONE),
        ({"provider": "openai", "model": "gpt-*", "agent": "fast"}, ONE),
        ({"provider": "openai"}, [Preference("openai")]),
        ({"model": "gpt-*"}, None),
        ({"agent": "one"}, ONE),
        ({"agent": "fast"}, FAST),
        ({"agent": "text"}, None),
        ({}, None),
    ],
)
def test_the_order_of_preferences(wants: dict[str, Any], found: list[Preference] | None) -> None:
    request = AgentRequest(**{"agent": "a", "prompt": "p", **wants})
    assert asyncio.run(preferences(request, AGENTS, Roles())) == found


def test_roles_without_a_resolver_are_left_to_amplifier(caplog: pytest.LogCaptureFixture) -> None:
    request = AgentRequest(agent="a", prompt="p", model_role="fast")
    assert asyncio.run(preferences(request, AGENTS, None)) is None
    assert "model_role_resolver" in caplog.text
