"""Sections 8 and 9: failure and limits."""

from pathlib import Path

import pytest
import trio

from tests.conformance.claims import HEAD, bash, flat, refused, run, staged

FAILS = "echo x >> ran; exit 1"


async def test_fail_stops_the_recipe(tmp_path: Path) -> None:
    ran = await run(flat(bash("a", FAILS) + bash("b", "echo b >> ran")), tmp_path)
    assert (ran.status, ran.lines()) == ("failed", ["x"])


async def test_continue_goes_on_with_null(tmp_path: Path) -> None:
    def broken(_request: object) -> str:
        raise RuntimeError("broken")

    steps = "- {id: a, agent: x, prompt: p, on_error: continue, output: o}\n" + bash("b", "echo b >> ran")
    ran = await run(flat(steps), tmp_path, answers={"a": broken})
    assert (ran.status, ran["o"], ran.lines()) == ("completed", None, ["b"])


async def test_skip_remaining_ends_the_recipe_early_as_completed(tmp_path: Path) -> None:
    ran = await run(flat(bash("a", FAILS, on_error="skip_remaining") + bash("b", "echo b >> ran")), tmp_path)
    assert (ran.status, ran.lines()) == ("completed", ["x"])


async def test_in_a_stage_skip_remaining_ends_the_stage(tmp_path: Path) -> None:
    skips = "{id: a, type: bash, command: 'exit 1', on_error: skip_remaining}"
    first = f"steps: [{skips}, {{id: b, type: bash, command: 'echo b >> ran'}}]"
    second = "steps: [{id: c, type: bash, command: 'echo c >> ran'}]"
    ran = await run(staged(f"- {{name: one, {first}}}\n- {{name: two, {second}}}"), tmp_path)
    assert (ran.status, ran.lines()) == ("completed", ["c"])


@pytest.mark.parametrize(("backoff", "slept"), [("exponential", [0.01, 0.02, 0.03]), ("linear", [0.01, 0.01, 0.01])])
def test_the_delays_between_attempts(backoff: str, slept: list[float]) -> None:
    from trio_recipes.language.model import Retry  # noqa: PLC0415

    retry = Retry(max_attempts=4, backoff=backoff, initial_delay=0.01, max_delay=0.03)  # type: ignore[arg-type]
    assert [round(retry.delay(n), 3) for n in (1, 2, 3)] == slept


async def test_every_kind_of_step_is_retried(tmp_path: Path) -> None:
    sub = f"{HEAD}steps:\n  {bash('in', 'echo x >> ran; test $(wc -l < ran) -ge 3')}"
    retry = "retry: {max_attempts: 5, initial_delay: 0}"
    ran = await run(flat(f"- {{id: r, type: recipe, recipe: sub.yaml, {retry}}}"), tmp_path, files={"sub.yaml": sub})
    assert (ran.status, len(ran.lines())) == ("completed", 3)


async def test_a_sub_recipes_failure_is_its_steps_with_the_stack_of_recipes(tmp_path: Path) -> None:
    sub = f"{HEAD.replace('claim', 'inner')}steps:\n  {bash('in', 'echo lost >&2; exit 9')}"
    step = "- {id: r, type: recipe, recipe: sub.yaml}"
    ran = await run(flat(step), tmp_path, files={"sub.yaml": sub})
    assert ran.status == "failed"
    for part in ("inner", "'in'", "9", "lost"):
        assert part in ran.message
    handled = await run(flat("- {id: r, type: recipe, recipe: sub.yaml, on_error: continue, output: o}"), tmp_path)
    assert (handled.status, handled["o"]) == ("completed", None)


async def test_a_parallel_loop_stops_its_other_iterations_as_soon_as_one_fails(tmp_path: Path) -> None:
    command = "if [ {{item}} = bad ]; then exit 1; fi; sleep 30; echo survived >> ran"
    step = bash("s", command, foreach="'{{l}}'", parallel="true")
    ran = await run(flat(step, "context: {l: [good, bad, good]}"), tmp_path)
    assert (ran.status, ran.lines()) == ("failed", [])


async def test_a_timeout_is_of_one_attempt(tmp_path: Path) -> None:
    step = bash("s", "echo x >> ran; sleep 30", timeout=1, retry="{max_attempts: 2, initial_delay: 0}", kill_grace=0)
    ran = await run(flat(step), tmp_path)
    assert ("timed out after 1 s" in ran.message, len(ran.lines())) == (True, 2)


# --- 9: limits ---------------------------------------------------------------------------------------------------


def chain(length: int, depth: int | None) -> dict[str, str]:
    head = HEAD + (f"recursion: {{max_depth: {depth}}}\n" if depth else "")
    files = {
        f"r{n}.yaml": f"{head}steps:\n  - {{id: s, type: recipe, recipe: r{n + 1}.yaml}}\n" for n in range(1, length)
    }
    return files | {f"r{length}.yaml": f"{HEAD}steps:\n  {bash('end', 'echo end >> ran')}"}


@pytest.mark.parametrize(("depth", "nested", "right"), [(None, 4, True), (None, 5, False), (2, 1, True), (2, 2, False)])
async def test_how_deep_recipes_nest(tmp_path: Path, depth: int | None, nested: int, right: bool) -> None:
    head = f"recursion: {{max_depth: {depth}}}" if depth else ""
    ran = await run(flat("- {id: s, type: recipe, recipe: r1.yaml}", head), tmp_path, files=chain(nested, depth))
    assert (ran.status == "completed") is right, ran.message
    assert (ran.lines() == ["end"]) is right


@pytest.mark.parametrize("parallel", ["false", "true"])
async def test_how_many_agent_steps_a_tree_may_have(tmp_path: Path, parallel: str) -> None:
    ask = f"- {{id: s, agent: x, prompt: p, foreach: '{{{{l}}}}', parallel: {parallel}}}\n"
    counts = bash("b", "true", foreach="'{{l}}'")  # bash steps do not count
    fits = await run(flat(ask + counts, "context: {l: [1, 2, 3]}\nrecursion: {max_total_steps: 3}"), tmp_path)
    assert fits.status == "completed", fits.message
    over = await run(flat(ask, "context: {l: [1, 2, 3]}\nrecursion: {max_total_steps: 2}"), tmp_path)
    assert over.status == "failed"
    assert "2" in over.message


@pytest.mark.parametrize(
    ("rules", "right"),
    [
        ("max_concurrent_llm: 1, min_delay_ms: 0", True),
        ("max_concurrent_llm: 100, min_delay_ms: 60000", True),
        ("max_concurrent_llm: 0", False),
        ("max_concurrent_llm: 101", False),
        ("min_delay_ms: -1", False),
        ("min_delay_ms: 60001", False),
        ("backoff: {initial_delay_ms: 100, max_delay_ms: 100, multiplier: 1, reset_after_success: 1}", True),
        ("backoff: {initial_delay_ms: 99}", False),
        ("backoff: {initial_delay_ms: 200, max_delay_ms: 100}", False),
        ("backoff: {multiplier: 0.5}", False),
        ("backoff: {reset_after_success: 0}", False),
        ("backof: {}", False),
    ],
)
def test_rate_limiting(tmp_path: Path, rules: str, right: bool) -> None:
    assert refused(flat(bash("a", "true"), f"rate_limiting: {{{rules}}}"), tmp_path) is not right


SUB = """\
- {id: ask, agent: x, prompt: '{{item}}', foreach: '{{all}}', parallel: true, collect: said}
"""
CALL = "- {id: call, type: recipe, recipe: sub.yaml, context: {all: [1, 2, 3, 4]}}"


@pytest.mark.parametrize(
    ("above", "below", "at_once"),
    [
        ("rate_limiting: {max_concurrent_llm: 2}", "rate_limiting: {max_concurrent_llm: 1}", 2),
        ("", "rate_limiting: {max_concurrent_llm: 1}", 1),
        ("", "", 4),
    ],
)
async def test_rate_limiting_of_the_root_or_else_of_what_it_calls(
    tmp_path: Path, above: str, below: str, at_once: int
) -> None:
    """A called recipe can't change what its caller says; where that says nothing, its own rules hold below it."""
    (tmp_path / "sub.yaml").write_text(flat(SUB, below))
    now, most, full = 0, 0, trio.Event()

    async def answer(_request: object) -> str:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 4:
            full.set()
        with trio.move_on_after(0.3):
            await full.wait()
        now -= 1
        return "x"

    ran = await run(flat(CALL, above), tmp_path, answers={"ask": answer})
    assert (ran.status, most) == ("completed", at_once)
