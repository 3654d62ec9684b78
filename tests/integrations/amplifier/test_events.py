"""What hooks hear, from real runs."""

import asyncio
from pathlib import Path
from typing import Any

from tests.integrations.amplifier.hosting import App, hosting, recipe


def heard(project: Path, steps: str, head: str = "") -> App:
    """Run a recipe to its end; the application with what its hooks have heard."""

    async def main() -> App:
        async with hosting(project) as app:
            await app("execute", recipe_path=recipe(project, steps, head))
            return app

    return asyncio.run(main())


def names(app: App) -> list[str]:
    return [name.removeprefix("recipe:") for name, _ in app.told]


def test_a_flat_recipe(tmp_path: Path) -> None:
    steps = """
- {id: a, type: bash, command: echo a}
- {id: b, type: bash, command: echo b, condition: "1 == 2"}
- {id: c, type: bash, command: echo c}"""
    app = heard(tmp_path, steps)
    assert names(app) == ["start", "step", "step", "step", "complete"]
    (start,), steps_told, (complete,) = (app.data(f"recipe:{name}") for name in ("start", "step", "complete"))
    assert (start["name"], start["description"], start["status"]) == ("probe", "a probe", "running")
    assert (start["current_step"], start["total_steps"]) == (0, 3)
    assert start["steps"] == [{"id": name, "name": name, "status": "pending"} for name in "abc"]
    assert "parent_session_id" not in start
    assert [data["current_step"] for data in steps_told] == [0, 1, 2]
    assert [[step["status"] for step in data["steps"]] for data in steps_told] == [
        ["running", "pending", "pending"],
        ["completed", "running", "pending"],
        ["completed", "completed", "running"],
    ]
    assert (complete["status"], complete["success"]) == ("completed", True)
    assert {step["status"] for step in complete["steps"]} == {"completed"}


def test_a_sub_recipe_tells_of_itself(tmp_path: Path) -> None:
    recipe(tmp_path, "- {id: in, type: bash, command: 'true'}", name="inner")
    steps = "- {id: sub, type: recipe, recipe: inner.yaml}\n- {id: after, type: bash, command: 'true'}"
    app = heard(tmp_path, steps)
    told = [(name.removeprefix("recipe:"), data["name"]) for name, data in app.told]
    assert told == [
        ("start", "probe"),
        ("step", "probe"),
        ("start", "inner"),
        ("step", "inner"),
        ("complete", "inner"),
        ("step", "probe"),
        ("complete", "probe"),
    ]
    session_id = app.told[0][1]["recipe_session_id"]
    nested = [data for _, data in app.told if data["name"] == "inner"]
    assert {data["parent_session_id"] for data in nested} == {session_id}
    assert {data["path"] for data in nested} == {"sub"}


def test_a_sub_recipe_whose_path_is_a_template_tells_of_itself_once_it_is_known(tmp_path: Path) -> None:
    for name in ("one", "two"):
        recipe(tmp_path, f"- {{id: in-{name}, type: bash, command: 'true'}}", name=name)
    steps = """
- {id: sub, foreach: "{{names}}", as: name, type: recipe, recipe: "{{name}}.yaml", on_error: continue}
- {id: never, type: recipe, recipe: "{{which}}.yaml", condition: "1 == 2"}"""
    app = heard(tmp_path, steps, "context: {which: one, names: [one, gone, two, one]}")
    told = [
        (name.removeprefix("recipe:"), data["name"], data.get("path"))
        for name, data in app.told
        if data.get("name") != "probe" and "iteration" not in data
    ]
    assert told == [
        (what, name, path)
        for name, path in (("one", "sub[0]"), ("two", "sub[2]"), ("one", "sub[3]"))
        for what in ("start", "step", "complete")
    ]
    assert [data["steps"][0]["status"] for data in app.data("recipe:complete")[:-1]] == ["completed"] * 3
    (failed,) = app.data("recipe:iteration_failed")
    assert (failed["step_id"], failed["iteration"]) == ("sub", 1)


def test_a_while_loop(tmp_path: Path) -> None:
    steps = """
- id: again
  while_condition: "{{count}} < 2"
  max_while_iterations: 5
  type: bash
  command: echo $(( {{count}} + 1 ))
  output: count"""
    app = heard(tmp_path, steps, "context: {count: 0, name: Ada, list: [1]}")
    assert names(app) == ["start", "step", "loop_iteration", "loop_iteration", "loop_complete", "complete"]
    passes = app.data("recipe:loop_iteration")
    assert [(data["step_id"], data["iteration"], data["max_iterations"]) for data in passes] == [
        ("again", 1, 5),
        ("again", 2, 5),
    ]
    assert passes[0]["context_snapshot"]["name"] == "Ada"
    assert passes[0]["context_snapshot"].keys() == {"count", "name"}
    (done,) = app.data("recipe:loop_complete")
    assert (done["step_id"], done["iterations_completed"], done["max_iterations"], done["results_count"]) == (
        "again",
        2,
        5,
        2,
    )


def test_failed_iterations(tmp_path: Path) -> None:
    steps = """
- {id: seq, foreach: "{{list}}", type: bash, on_error: continue, timeout: 20, command: "{{item}}"}
- {id: par, foreach: "{{list}}", type: bash, on_error: continue, parallel: true, command: "exit {{item}}"}"""
    app = heard(tmp_path, steps, "context: {list: [0, 2]}")
    failed = app.data("recipe:iteration_failed")
    assert sorted((data["step_id"], data["iteration"]) for data in failed) == [("par", 1), ("seq", 0), ("seq", 1)]
    assert all(data["error_type"] and data["error_message"] for data in failed)
    assert names(app)[-1] == "complete"


def test_a_recipe_that_fails(tmp_path: Path) -> None:
    app = heard(tmp_path, "- {id: bad, type: bash, command: exit 3}\n- {id: next, type: bash, command: 'true'}")
    assert names(app) == ["start", "step", "failed"]
    (failed,) = app.data("recipe:failed")
    assert (failed["status"], failed["success"], failed["current_step"]) == ("failed", False, 0)
    assert "bad" in failed["error_message"]


def test_a_hook_that_fails_or_is_slow_harms_no_recipe(tmp_path: Path) -> None:
    async def main() -> dict[str, Any]:
        async with hosting(tmp_path) as app:

            async def bad(name: str, _data: dict[str, Any]) -> Any:
                await asyncio.sleep(0.05)
                raise RuntimeError(f"can't bear {name}")

            for event in ("recipe:start", "recipe:step", "recipe:complete"):
                app.coordinator.hooks.register(event, bad, name=f"bad-{event}")
            return await app("execute", recipe_path=recipe(tmp_path, "- {id: a, type: bash, command: echo a}"))

    assert asyncio.run(main())["status"] == "completed"


def test_secrets_stay_with_the_recipe(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("token", "hunter2-hunter2")
    steps = """
- id: again
  while_condition: "{{said}} != done"
  type: bash
  env_from_context: [token]
  command: "echo $token; exit 1"
  on_error: continue
  output: said
  max_while_iterations: 2"""
    app = heard(tmp_path, steps, "context: {said: nothing}\nsecrets: [token]")
    assert len(app.data("recipe:loop_iteration")) == 2
    assert "hunter2" not in str(app.told)
