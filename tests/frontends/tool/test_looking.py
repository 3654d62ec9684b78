"""`status`, `list` and `validate`; and what the tool does with calls that it can't take."""

from pathlib import Path
from typing import Any

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from tests.frontends.running import QUICK, write_recipe
from tests.frontends.tool.calling import SLOW, calling, pending
from trio_recipes import RecipesTool, ToolResult
from trio_recipes.errors import InvalidCallError
from trio_recipes.frontends.tool.call import Call
from trio_recipes.frontends.tool.schema import OPERATIONS, input_schema


async def test_status_of_what_runs(project: Path) -> None:
    async with calling(project) as call, pending(call, operation="execute", recipe_path=call.recipe(SLOW)) as one:
        session = await one.reaches("slow")
        runs = await call("status", session_id=session.id[:10])
        call.open_gate()
        await one.end()
        done = await call("status", session_id=session.id)
    assert (runs["session_id"], runs["recipe"], runs["status"]) == (session.id, "probe", "running")
    assert (runs["running"], runs["steps"]) == (["slow"], {"completed": 1, "running": 1})
    assert not runs.keys() & {"cancellation", "resume_info", "summary"}
    assert (done["status"], done["summary"]["final_output"]) == ("completed", "three\n")


async def test_status_of_what_failed(project: Path) -> None:
    async with calling(project) as call:
        failed = await call("execute", recipe_path=call.recipe("- {id: bad, type: bash, command: exit 3}"))
        got = await call("status", session_id=failed["session_id"])
    assert (got["status"], got["failure"]["exit_code"], got["failure"]["path"]) == ("failed", 3, "bad")
    assert failed["session_id"] in got["resume_info"]


async def test_list_has_the_projects_sessions_only(project: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with calling(tmp_path / "other") as elsewhere:
        foreign = await elsewhere("execute", recipe_path=elsewhere.recipe(QUICK))
    async with calling(project) as call:
        ids = [(await call("execute", recipe_path=call.recipe(QUICK)))["session_id"] for _ in range(3)]
        everything, newest = await call("list"), await call("list", limit=1)
        unknown = [
            await call(operation, session_id=foreign["session_id"], stage_name="x")
            for operation in ("status", "cancel", "resume", "approve", "deny")
        ]
    assert {each["session_id"] for each in everything["sessions"]} == {*ids}
    assert everything["count"] == 3
    one = everything["sessions"][0]
    assert (one["recipe_name"], one["current_step_index"], one["completed_steps"]) == ("probe", 1, ["quick"])
    assert newest["count"] == 1
    assert newest["more"].startswith("2 older")
    assert {each["message"] for each in unknown} == {
        f"Session not found: {foreign['session_id']}. Use 'list' to see those of this project."
    }


async def test_validate(project: Path) -> None:
    async with calling(project) as call:
        good = await call("validate", recipe_path=call.recipe(QUICK))
        bad = await call("validate", recipe_path=call.recipe("- {id: x, type: bash, comand: ls}", name="bad"))
        ran = await call("execute", recipe_path="bad.yaml")
        listed = await call("list")
    assert good == {"success": True, "status": "valid", "recipe": "probe", "version": "1.0.0", "warnings": []}
    assert (bad["message"], bad["type"], bad["warnings"]) == ("Recipe validation failed", "InvalidRecipeError", [])
    assert any("did you mean 'command'" in error for error in bad["errors"])
    assert ran == bad
    assert listed["count"] == 0


async def test_variables_of_the_caller_are_known_to_validate(project: Path) -> None:
    async with calling(project) as call:
        recipe = call.recipe("- {id: x, type: bash, command: 'echo {{name}}'}")
        alone = await call("validate", recipe_path=recipe)
        given_one = await call("validate", recipe_path=recipe, context={"name": "Ada"})
    assert (alone["success"], given_one["success"]) == (False, True)


async def test_recipes_of_a_bundle(project: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    write_recipe(tmp_path / "bundle", QUICK)
    async with calling(project, bundles={"tools": tmp_path / "bundle"}) as call:
        got = await call("execute", recipe_path="@tools:probe.yaml")
        unknown = await call("execute", recipe_path="@tolls:probe.yaml")
        absent = await call("validate", recipe_path="@tools:other.yaml")
    assert got["status"] == "completed"
    assert unknown["message"].startswith("Could not resolve @mention path: @tolls:probe.yaml (there is no bundle")
    assert absent["message"].startswith("Failed to load recipe: there is no file")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "operation is required: one of approvals, approve, cancel"),
    ({"operation": "explode"}, "Unknown operation: explode"),
    ({"operation": "cancle"}, "did you mean 'cancel'"),
    ({"operation": "EXECUTE"}, "did you mean 'execute'"),
    ({"operation": ["list"]}, "Unknown operation: ['list']"),
    ({"operation": "execute"}, "recipe_path is required for execute operation"),
    ({"operation": "execute", "recipe_path": None}, "recipe_path is required for execute operation"),
    ({"operation": "approve", "session_id": "x"}, "stage_name is required for approve operation"),
    ({"operation": "execute", "recipe_path": "nowhere.yaml"}, "Failed to load recipe: there is no file"),
    ({"operation": "execute", "recipe_path": "x", "context": [1]}, "context must be an object, found a list ([1])"),
    ({"operation": "execute", "recipe_path": "x", "context": "{}"}, "give the object itself, not its text"),
    ({"operation": "list", "page": 2}, "unknown parameter 'page'; list takes: limit"),
    ({"operation": "approvals", "all": True}, "approvals takes: none"),
    ({"operation": "cancel", "session_id": "x", "immediate": "yes"}, "immediate must be a boolean, found a string"),
    ({"operation": "cancel", "session_id": "x", "grace": -1}, "grace must be at least 0"),
    ({"operation": "cancel", "session_id": "x", "grace": float("nan")}, "grace must be at least 0"),
    ({"operation": "cancel", "session_id": "x", "grace": True}, "grace must be a number"),
    ({"operation": "list", "limit": 0}, "limit must be at least 1"),
    ({"operation": "list", "limit": 1.5}, "limit must be a whole number"),
    ({"operation": "execute", "recipe_path": "x", "deadline": 0}, "deadline must be over 0"),
    ({"operation": "cancel", "session_id": "x", "imediate": True}, "did you mean 'immediate'"),
    ({"operation": "status", "session_id": "../../etc"}, "Session not found: ../../etc. Use 'list'"),
    ({"operation": "status", "session_id": "@last"}, "Session not found: @last. Use 'list'"),
]


async def test_calls_that_it_can_not_take(project: Path) -> None:
    async with calling(project) as call:
        for arguments, message in WRONG:
            result = await call.tool.execute(arguments)
            assert not result.success
            assert result.error is not None
            assert message in result.error["message"]
            assert result.error["type"] in ("InvalidCallError", "SessionNotFoundError")
        assert not (await call.tool.execute("list")).success  # type: ignore[arg-type]


async def test_a_host_that_lends_a_broken_runtime_gets_an_answer_all_the_same() -> None:
    result = await RecipesTool(None).execute({"operation": "list"})  # type: ignore[arg-type]
    assert not result.success
    assert result.error is not None
    assert result.error["type"] == "AttributeError"
    assert result.error["message"].startswith("Failed to list sessions: ")


def test_as_json_has_the_one_or_the_other() -> None:
    assert ToolResult(True, output={"a": 1}).as_json() == {"success": True, "output": {"a": 1}}
    assert ToolResult(False, error={"message": "no"}).as_json() == {"success": False, "error": {"message": "no"}}


# --- the schema and the check say the same -----------------------------------------------------------------------

SCHEMA = input_schema(OPERATIONS)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES: st.SearchStrategy[object] = SCALARS | st.lists(st.none()) | st.just({})


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["required"] == ["operation"]


@given(st.sampled_from([*OPERATIONS]), st.data())
def test_what_the_check_takes_the_schema_takes_too(operation: str, data: st.DataObject) -> None:
    known = OPERATIONS[operation]
    names = (*known.required, *known.optional)
    arguments = {
        name: data.draw(VALUES) for name in data.draw(st.sets(st.sampled_from(names)) if names else st.just(()))
    }
    try:
        Call.checked(operation, arguments)
    except InvalidCallError:
        return
    present = {name: value for name, value in arguments.items() if value is not None}
    jsonschema.validate({"operation": operation, **present}, SCHEMA)
