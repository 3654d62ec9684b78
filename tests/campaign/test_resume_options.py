"""``resume`` with another recipe, other variables, from elsewhere: the ledger shows what ran; and ``--plan``."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.lab import Lab, eventually
from trio_recipes.events import ApprovalStatus

pytestmark = pytest.mark.slow


def stopped_at(lab: Lab, recipe: Path, name: str, *, kill: bool = False) -> str:
    """A session that was stopped in the middle of the step ``name``."""
    lab.hold(name)
    runner = lab.run(recipe)
    eventually(lambda: lab.begun(name))
    if kill:
        runner.kill()
    else:
        lab.cancel(runner.session_id, "--immediate", "--wait")
        runner.ended()
    lab.release(name)
    return runner.session_id


def failed(lab: Lab, recipe: Path) -> str:
    """A session that ended as failed."""
    runner = lab.run(recipe)
    assert runner.ended()["status"] == "failed"
    return runner.session_id


def ran(lab: Lab, session_id: str, *options: str) -> tuple[str, list[str]]:
    """How a resume ended, and the names of the steps that ran."""
    before = len(lab.ledger())
    ended = lab.resume(session_id, *options).ended()
    return ended["status"], [entry.name for entry in lab.ledger()[before:] if entry.what == "begin"]


def plan(lab: Lab, session_id: str, *options: str) -> dict[str, str]:
    """What ``resume --plan`` says of each scope."""
    done = lab.command("resume", session_id, "--plan", "--json", *options)
    assert done.code == 0, done.stderr
    return {scope["path"]: scope["fate"] for scope in json.loads(done.stdout)["scopes"] if scope["kind"] != "gate"}


def rows(lab: Lab, session_id: str) -> list[tuple[Any, ...]]:
    """Everything in a session's database."""
    with lab.file(session_id).reading() as connection:
        tables = ("events", "requests", "answers", "owner")
        return [row for table in tables for row in connection.execute(f"SELECT * FROM {table}")]


def broken(lab: Lab, name: str) -> dict[str, Any]:
    """A step that fails."""
    return {**lab.step(name), "command": f"{lab.step(name)['command']}; exit 3"}


# --- another recipe ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kill", [False, True])
def test_the_changed_step_and_what_follows_it_run_again(lab: Lab, kill: bool) -> None:
    names = ["a", "b", "c", "d"]
    recipe = lab.write("plain", steps=[lab.step(name) for name in names])
    session_id = stopped_at(lab, recipe, "d", kill=kill)
    lab.write("plain", steps=[lab.step("a"), lab.step("b", "changed"), lab.step("c"), lab.step("d")])

    fates = plan(lab, session_id, "--recipe", str(recipe))
    assert (fates["a"], fates["b"], fates["c"]) == ("reused", "runs again", "runs again")
    assert ran(lab, session_id, "--recipe", str(recipe)) == ("completed", ["b", "c", "d"])
    assert lab.context(session_id)["b"] == "changed\n"


def test_without_the_option_an_edited_recipe_changes_nothing(lab: Lab) -> None:
    recipe = lab.write("plain", steps=[lab.step("a"), lab.step("b")])
    session_id = stopped_at(lab, recipe, "b")
    lab.write("plain", steps=[lab.step("a", "changed"), lab.step("b", "changed")])
    assert ran(lab, session_id) == ("completed", ["b"])
    assert lab.context(session_id)["b"] == "value of b\n"


def test_steps_that_are_new_and_steps_that_are_gone(lab: Lab) -> None:
    recipe = lab.write("plain", steps=[lab.step(name) for name in ("a", "b", "c")] + [broken(lab, "d")])
    session_id = failed(lab, recipe)
    lab.write("plain", steps=[lab.step(name) for name in ("a", "new", "c", "d")])
    fates = {"a": "reused", "new": "new", "c": "runs again", "d": "runs again", "b": "gone"}
    assert plan(lab, session_id, "--recipe", str(recipe)) == fates
    assert ran(lab, session_id, "--recipe", str(recipe)) == ("completed", ["new", "c", "d"])
    assert {node["path"] for node in lab.show(session_id)["nodes"]} == {"a", "new", "c", "d"}


def test_a_change_inside_a_sub_recipe_keeps_what_stands_before_it(lab: Lab) -> None:
    lab.write("sub", steps=[lab.step("x"), lab.step("y")])
    call = {"id": "call", "type": "recipe", "recipe": "sub.yaml", "output": "call"}
    recipe = lab.write("parent", steps=[lab.step("a"), call, lab.step("b"), broken(lab, "c")])
    session_id = failed(lab, recipe)
    lab.write("sub", steps=[lab.step("x"), lab.step("y", "changed")])
    lab.write("parent", steps=[lab.step("a"), call, lab.step("b"), lab.step("c")])
    assert plan(lab, session_id, "--recipe", str(recipe))["call"] == "continues"
    assert ran(lab, session_id, "--recipe", str(recipe)) == ("completed", ["y", "b", "c"])
    assert lab.context(session_id)["call"] == {"x": "value of x\n", "y": "changed\n"}


def test_a_changed_loop_runs_all_its_iterations_again(lab: Lab) -> None:
    def steps(value: str) -> list[dict[str, Any]]:
        body = [lab.step("x-{{item}}", value), lab.step("y-{{item}}")]
        body = [{**step, "id": name, "output": name} for step, name in zip(body, "xy", strict=True)]
        return [lab.step("a"), {"id": "loop", "foreach": "{{names}}", "collect": "all", "steps": body}, lab.step("b")]

    recipe = lab.write("loop", context={"names": ["1", "2"]}, steps=steps("before"))
    session_id = stopped_at(lab, recipe, "y-2")
    lab.write("loop", context={"names": ["1", "2"]}, steps=steps("after"))
    assert ran(lab, session_id, "--recipe", str(recipe)) == ("completed", ["x-1", "y-1", "x-2", "y-2", "b"])


def test_a_graph_runs_the_dependents_again_and_nothing_else(lab: Lab) -> None:
    def steps(value: str) -> list[dict[str, Any]]:
        return [
            lab.step("a"),
            lab.step("b", value),
            lab.step("on_a", depends_on=["a"]),
            lab.step("on_b", depends_on=["b"]),
            lab.step("last", depends_on=["on_a", "on_b"]),
        ]

    recipe = lab.write("graph", schedule="graph", steps=steps("before"))
    session_id = stopped_at(lab, recipe, "last")
    lab.write("graph", schedule="graph", steps=steps("after"))
    assert ran(lab, session_id, "--recipe", str(recipe)) == ("completed", ["b", "on_b", "last"])


def test_a_later_resume_agrees(lab: Lab) -> None:
    recipe = lab.write("plain", steps=[lab.step("a"), lab.step("b"), broken(lab, "c")])
    session_id = failed(lab, recipe)
    lab.write("plain", steps=[lab.step("a"), lab.step("b", "changed"), broken(lab, "c")])
    assert ran(lab, session_id, "--recipe", str(recipe)) == ("failed", ["b", "c"])
    assert ran(lab, session_id) == ("failed", ["c"])
    assert ran(lab, session_id, "--recipe", str(recipe)) == ("failed", ["c"])
    assert lab.context(session_id)["b"] == "changed\n"


def test_a_default_that_changed_counts_as_a_variable(lab: Lab) -> None:
    def steps() -> list[dict[str, Any]]:
        return [lab.step("a"), lab.step("b", "{{n}}"), broken(lab, "c")]

    recipe = lab.write("plain", context={"n": 1}, steps=steps())
    session_id = failed(lab, recipe)
    lab.write("plain", context={"n": 2}, steps=steps())
    assert ran(lab, session_id, "--recipe", str(recipe)) == ("failed", ["b", "c"])
    assert lab.context(session_id)["b"] == 2


def test_a_sub_recipe_whose_path_only_the_run_knew_is_read_again(lab: Lab) -> None:
    lab.write("sub", steps=[lab.step("x"), lab.step("y")])
    call = {"id": "call", "type": "recipe", "recipe": "{{which}}.yaml"}
    recipe = lab.write("parent", context={"which": "sub"}, steps=[call, broken(lab, "b")])
    session_id = failed(lab, recipe)
    assert plan(lab, session_id, "--recipe", str(recipe))["call"] == "reused"
    lab.write("sub", steps=[lab.step("x"), lab.step("y", "changed")])
    assert ran(lab, session_id, "--recipe", str(recipe)) == ("failed", ["y", "b"])
    (lab.root / "sub.yaml").unlink()
    assert plan(lab, session_id)["call"] == "reused"
    assert plan(lab, session_id, "--recipe", str(recipe))["call"] == "continues"


def test_recipes_that_stand_elsewhere_now_are_the_same(lab: Lab) -> None:
    lab.write("inner", steps=[lab.step("x")])
    lab.write("sub", steps=[{"id": "in", "type": "recipe", "recipe": "inner.yaml"}])
    recipe = lab.write("parent", steps=[{"id": "call", "type": "recipe", "recipe": "sub.yaml"}, broken(lab, "b")])
    session_id = failed(lab, recipe)
    elsewhere = lab.root / "elsewhere"
    elsewhere.mkdir()
    for name in ("inner", "sub", "parent"):
        (lab.root / f"{name}.yaml").rename(elsewhere / f"{name}.yaml")
    assert ran(lab, session_id, "--recipe", str(elsewhere / "parent.yaml")) == ("failed", ["b"])
    assert lab.show(session_id)["recipe_file"] == str(elsewhere / "parent.yaml")


# --- other variables ---------------------------------------------------------------------------------------------


def test_steps_that_refer_to_a_changed_variable_and_what_follows_run_again(lab: Lab) -> None:
    steps = [lab.step("a"), lab.step("b", "{{n}}"), lab.step("c"), broken(lab, "d")]
    recipe = lab.write("plain", context={"n": 1, "other": 1}, steps=steps)
    session_id = failed(lab, recipe)
    assert ran(lab, session_id, "--set", "other=2", "--set", "n=1") == ("failed", ["d"])
    assert ran(lab, session_id, "--set", "n=2") == ("failed", ["b", "c", "d"])
    assert ran(lab, session_id, "--set", "n=2") == ("failed", ["d"])  # it has been 2 for a while
    context = lab.context(session_id)
    assert (context["n"], context["other"], context["b"]) == (2, 2, 2)


# --- from elsewhere ----------------------------------------------------------------------------------------------


def test_from_a_path_of_a_completed_session_in_a_new_one(lab: Lab) -> None:
    lab.write("sub", steps=[lab.step("x"), lab.step("y")])
    call = {"id": "call", "type": "recipe", "recipe": "sub.yaml", "output": "call"}
    recipe = lab.write("parent", steps=[lab.step("a"), call, lab.step("b")])
    runner = lab.run(recipe)
    assert runner.ended()["status"] == "completed"
    before = rows(lab, runner.session_id)

    assert plan(lab, runner.session_id, "--from", "call/y")["call/x"] == "reused"
    again = lab.resume(runner.session_id, "--from", "call/y")
    ended = again.ended()
    assert ended["status"] == "completed"
    assert again.session_id != runner.session_id
    assert lab.executions() == {"a": 1, "x": 1, "y": 2, "b": 2}
    assert lab.context(again.session_id) == lab.context(runner.session_id)
    assert rows(lab, runner.session_id) == before
    assert lab.manager.load_state(again.session_id, lab.root)["parent_session_id"] == runner.session_id
    nodes = {node["path"]: node["status"] for node in lab.show(again.session_id)["nodes"]}
    assert nodes == dict.fromkeys(["a", "call", "call/x", "call/y", "b"], "completed")


def test_a_session_that_was_split_off_is_resumed_like_any_other(lab: Lab) -> None:
    recipe = lab.write("plain", steps=[lab.step("a"), lab.step("b"), broken(lab, "c")])
    old = failed(lab, recipe)
    again = lab.resume(old, "--from", "b")
    assert again.ended()["status"] == "failed"
    assert ran(lab, again.session_id) == ("failed", ["c"])
    assert lab.executions() == {"a": 1, "b": 2, "c": 3}


def test_from_a_path_with_another_recipe_and_other_variables(lab: Lab) -> None:
    steps = [lab.step("a"), lab.step("b", "{{n}}"), lab.step("c")]
    recipe = lab.write("plain", context={"n": 1}, steps=steps)
    runner = lab.run(recipe)
    runner.ended()
    other = lab.write("other", context={"n": 1}, steps=[*steps, lab.step("d", "{{n}}")])
    again = lab.resume(runner.session_id, "--from", "c", "--recipe", str(other), "--set", "n=5")
    assert again.ended()["status"] == "completed"
    assert lab.executions() == {"a": 1, "b": 2, "c": 2, "d": 1}
    assert lab.context(again.session_id)["d"] == 5
    assert lab.show(again.session_id)["recipe"] == "other"


def test_a_gate_that_was_approved_stays_so(lab: Lab) -> None:
    stages = [
        {"name": "one", "steps": [lab.step("a")], "approval": {"required": True, "prompt": "go on?"}},
        {"name": "two", "steps": [lab.step("b"), lab.step("c")]},
    ]
    runner = lab.run(lab.write("staged", stages=stages))
    runner.ended()
    lab.manager.set_stage_approval_status(runner.session_id, lab.root, "one", ApprovalStatus.APPROVED)
    assert lab.resume(runner.session_id).ended()["status"] == "completed"
    again = lab.resume(runner.session_id, "--from", "two/c")
    assert again.ended()["status"] == "completed"
    assert lab.executions() == {"a": 1, "b": 1, "c": 2}
    earlier = lab.resume(runner.session_id, "--from", "one/a")
    assert earlier.ended()["status"] == "paused"


# --- the plan changes nothing, and what is refused ---------------------------------------------------------------


def test_a_plan_changes_nothing(lab: Lab) -> None:
    recipe = lab.write("plain", steps=[lab.step("a", "{{n}}"), lab.step("b")], context={"n": 1})
    session_id = stopped_at(lab, recipe, "b", kill=True)
    lab.command("show", session_id)
    before, sessions = rows(lab, session_id), list((lab.store / "sessions").iterdir())
    database = (lab.store / "sessions" / session_id / "session.db").read_bytes()

    for options in ([], ["--set", "n=2"], ["--recipe", str(recipe)], ["--from", "a"], ["--json"]):
        assert lab.command("resume", session_id, "--plan", *options).code == 0
    assert rows(lab, session_id) == before
    assert (lab.store / "sessions" / session_id / "session.db").read_bytes() == database
    assert list((lab.store / "sessions").iterdir()) == sessions
    assert lab.executions() == {"a": 1, "b": 1}


@pytest.mark.parametrize("how", ["--plan", "--json"])
def test_what_is_refused_changes_nothing(lab: Lab, how: str) -> None:
    recipe = lab.write("plain", steps=[lab.step("a"), broken(lab, "b")])
    session_id = failed(lab, recipe)
    before = rows(lab, session_id)
    wrong = lab.write("wrong", steps=[{"id": "a", "type": "bash"}, {"id": "a", "type": "nothing"}])
    refused = lab.command("resume", session_id, how, "--recipe", str(wrong))
    assert refused.code == 2
    assert len(refused.stderr.splitlines()) >= 3  # all problems
    unknown = lab.command("resume", session_id, how, "--from", "c")
    assert (unknown.code, "no scope 'c'" in unknown.stderr) == (2, True)
    assert rows(lab, session_id) == before
    assert len(list((lab.store / "sessions").iterdir())) == 1


def test_a_completed_session_is_refused_but_for_from_and_a_live_one_always(lab: Lab) -> None:
    runner = lab.run(lab.write("plain", steps=[lab.step("a")]))
    runner.ended()
    assert lab.command("resume", runner.session_id, "--plan").code == 2
    assert lab.command("resume", runner.session_id, "--plan", "--from", "a").code == 0
    lab.hold("x")
    live = lab.run(lab.write("live", steps=[lab.step("x")]))
    eventually(lambda: lab.begun("x"))
    for options in (["--plan"], ["--from", "x"], ["--set", "n=1"]):
        assert f"process {live.process.pid}" in lab.command("resume", live.session_id, *options).stderr
    lab.release("x")
    live.ended()


def test_a_deadline_on_the_command_line(lab: Lab) -> None:
    lab.hold("a")
    runner = lab.run(lab.write("plain", steps=[lab.step("a"), lab.step("b")]), "--deadline", "300ms")
    eventually(lambda: runner.saw("cancel_requested"))
    lab.release("a")
    ended = runner.ended()
    assert (ended["status"], ended["cancellation"]["source"], runner.code) == ("cancelled", "deadline", 4)
    assert lab.command("resume", runner.session_id, "--deadline", "soon").code == 2
    assert ran(lab, runner.session_id, "--deadline", "1h") == ("completed", ["b"])


def test_a_server_of_a_finished_stage_is_started_again(lab: Lab) -> None:
    """After a crash: what it had left running is gone, and the stage that wants it is not the one that starts it."""
    server = lab.step("server", on_resume="rerun")
    server["command"] += "; sleep 300 >/dev/null 2>&1 &"
    one = {"name": "one", "steps": [server, lab.step("a")], "approval": {"required": True, "prompt": "go on?"}}
    recipe = lab.write("served", stages=[one, {"name": "two", "steps": [lab.step("b")]}])
    session = lab.run(recipe).ended()["session_id"]
    assert lab.command("approve", session, "one").code == 0
    lab.hold("b")
    runner = lab.resume(session)
    eventually(lambda: lab.begun("b"))
    runner.kill()
    eventually(lambda: lab.status(session) == "interrupted")
    lab.release()
    assert lab.resume(session).ended()["status"] == "completed"
    assert lab.executions() == {"server": 3, "a": 1, "b": 2}
