"""Section 12: what this engine adds. Stopping and resuming them is what tests/campaign is for."""

from pathlib import Path

import pytest
import trio

from tests.conformance.claims import bash, flat, refused, run, staged


def double(n: object) -> object:
    return [n, n]


async def later(text: str) -> str:
    await trio.lowlevel.checkpoint()
    return text.upper()


def ended(pid: str) -> bool:
    """Whether a process is gone, or dead and waiting for an adoptive parent that does not look after it."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


async def test_functions_plain_and_async_with_arguments_that_keep_their_type(tmp_path: Path) -> None:
    steps = (
        "- {id: a, type: function, function: double, args: {n: '{{d}}'}, output: two}\n"
        "- {id: b, type: function, function: later, args: {text: 'is {{d.k}}'}, output: loud}\n"
    )
    ran = await run(flat(steps, "context: {d: {k: v}}"), tmp_path, functions={"double": double, "later": later})
    assert (ran["two"], ran["loud"]) == ([{"k": "v"}, {"k": "v"}], "IS V")


@pytest.mark.parametrize(
    ("command", "outcome", "status"), [("true", "completed", "completed"), ("false", "failed", "failed")]
)
async def test_finally_runs_however_the_work_ended(tmp_path: Path, command: str, outcome: str, status: str) -> None:
    text = flat(bash("a", command)) + "finally:\n  " + bash("clean", "echo {{_outcome}} >> ran")
    ran = await run(text, tmp_path)
    assert (ran.status, ran.lines()) == (status, [outcome])


async def test_finally_of_stages_and_of_loop_bodies(tmp_path: Path) -> None:
    stage = f"- name: one\n  steps:\n    {bash('a', 'true')}  finally:\n    {bash('c', 'echo stage >> ran')}"
    assert (await run(staged(stage), tmp_path)).lines() == ["stage"]
    loop = (
        f"- id: l\n  foreach: '{{{{l}}}}'\n  steps:\n    {bash('a', 'echo {{item}} >> ran')}"
        f"  finally:\n    {bash('c', 'echo cleaned {{item}} >> ran')}"
    )
    ran = await run(flat(loop, "context: {l: [1, 2]}"), tmp_path)
    assert ran.lines() == ["stage", "1", "cleaned 1", "2", "cleaned 2"]


async def test_processes_that_a_step_leaves_live_as_long_as_the_session(tmp_path: Path) -> None:
    steps = bash("a", "sleep 60 & echo $! > pid") + bash("b", "kill -0 $(cat pid) && echo alive", output="seen")
    assert (await run(flat(steps), tmp_path))["seen"] == "alive\n"
    pid = (tmp_path / "pid").read_text().strip()
    assert ended(pid)  # and no longer


async def test_background_kill_ends_them_with_their_step(tmp_path: Path) -> None:
    steps = bash("a", "sleep 60 & echo $! > pid", background="kill") + bash(
        "b", "cut -d' ' -f3 /proc/$(cat pid)/stat 2>/dev/null || true", output="seen"
    )
    assert (await run(flat(steps), tmp_path))["seen"] in {"", "Z\n"}  # gone, or waiting for its adoptive parent


async def test_a_graph_runs_what_does_not_depend_on_each_other_at_once(tmp_path: Path) -> None:
    meet = "touch {0}; for i in $(seq 100); do test -e {1} && exit 0; sleep 0.05; done; exit 1"
    steps = (
        bash("a", meet.format("a", "b"), output="x")
        + bash("b", meet.format("b", "a"))
        + bash("c", "echo after {{x}}", depends_on="[a, b]", output="c")
    )
    ran = await run(flat(steps, "schedule: graph"), tmp_path)
    assert ran.status == "completed", ran.message


@pytest.mark.parametrize(
    ("steps", "right"),
    [
        (bash("a", "echo 1", output="x") + bash("b", "echo {{x}}", depends_on="[a]"), True),
        (bash("a", "echo 1", output="x") + bash("b", "echo {{x}}"), False),  # not among what it depends on
        (bash("a", "true", depends_on="[b]") + bash("b", "true"), False),  # forward
        (bash("a", "true", depends_on="[a]"), False),  # in a circle
    ],
)
def test_references_in_a_graph(tmp_path: Path, steps: str, right: bool) -> None:
    assert refused(flat(steps, "schedule: graph"), tmp_path) is not right


async def test_max_parallel_steps(tmp_path: Path) -> None:
    alone = "test ! -e busy || exit 1; touch busy; sleep 0.05; rm busy"
    steps = bash("a", alone) + bash("b", alone) + bash("c", alone)
    ran = await run(flat(steps, "schedule: graph\nmax_parallel_steps: 1"), tmp_path)
    assert ran.status == "completed", ran.message


async def test_env_from_context_never_meets_the_shells_parser(tmp_path: Path) -> None:
    value = "$(touch harmed); `touch harmed` 'x' \"y\" \\n"
    ran = await run(
        flat(bash("a", 'printf %s "$value"', env_from_context="[value]", output="o")), tmp_path, value=value
    )
    assert ran["o"] == value
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(("name", "right"), [("TERM", True), ("INT", True), ("SIGUSR1", True), ("NONSENSE", False)])
def test_stop_signals(tmp_path: Path, name: str, right: bool) -> None:
    assert refused(flat(bash("a", "true", stop_signal=name)), tmp_path) is not right


async def test_the_stop_signal_is_the_one_that_comes(tmp_path: Path) -> None:
    step = bash("a", "trap 'echo usr1 >> ran; exit 0' USR1; sleep 60 & wait", stop_signal="USR1", timeout=1)
    assert (await run(flat(step), tmp_path)).lines() == ["usr1"]


@pytest.mark.parametrize(
    ("field", "right"),
    [
        ("kill_grace: 0", True),
        ("kill_grace: 60", True),
        ("kill_grace: 61", False),
        ("background: session", True),
        ("background: kill", True),
        ("background: forever", False),
        ("on_interrupt: rerun", True),
        ("on_interrupt: ask", True),
        ("on_interrupt: skip", True),
        ("on_interrupt: fail", True),
        ("on_interrupt: maybe", False),
        ("on_resume: reuse", True),
        ("on_resume: rerun", True),
        ("on_resume: never", False),
    ],
)
def test_fields_that_are_new(tmp_path: Path, field: str, right: bool) -> None:
    assert refused(flat(f"- {{id: a, type: bash, command: 'true', {field}}}"), tmp_path) is not right


@pytest.mark.parametrize(
    ("head", "right"),
    [
        ("limits: {deadline: 45m, cost_usd: 1.5, tokens: 1000}", True),
        ("limits: {deadline: 1h30m}", True),
        ("limits: {deadline: 90}", True),
        ("limits: {deadline: soon}", False),
        ("limits: {cost_usd: 0}", False),
        ("limits: {tokens: 0}", False),
        ("limits: {money: 1}", False),
        ("secrets: [TOKEN]", True),
        ("schedule: graph", True),
        ("schedule: random", False),
        ("finally: [{id: z, type: bash, command: 'true'}]\ncleanup_timeout: 5", True),
        ("finally: []", False),
    ],
)
def test_keys_of_the_document_that_are_new(tmp_path: Path, head: str, right: bool) -> None:
    assert refused(flat(bash("a", "true"), head), tmp_path) is not right
