"""``show --stuck``, for people: each running scope, what it waits for, and what can be seen of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.frontends.printable import duration, in_one_line, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_recipes.sessions.stuck import Stuck, Wait


def stuck_text(stuck: Stuck) -> str:
    """What a session waits for, in lines."""
    return "".join(f"{line}\n" for line in (*_head(stuck), *(line for wait in stuck.waits for line in _wait(wait))))


def _head(stuck: Stuck) -> Iterator[str]:
    yield f"session   {stuck.session_id}"
    yield f"status    {stuck.status}"
    if stuck.runner is None:
        yield "nobody runs it, so nothing of it waits; `show` tells where it stands"
        return
    yield f"runner    process {stuck.runner.get('pid')} on {printable(str(stuck.runner.get('host')))}"
    if not stuck.answers:
        yield "          it does not answer: it is stopped, or a step that never awaits keeps its event loop"
    yield ""


def _wait(wait: Wait) -> Iterator[str]:
    asked = "" if wait.level == "none" else f", asked to stop ({wait.level})"
    attempt = f", attempt {wait.attempt}" if wait.attempt > 1 else ""
    kind = f" ({wait.kind})" if wait.kind else ""
    yield f"{printable(wait.path)}{kind}: for {duration(wait.seconds)}{attempt}{asked}"
    yield f"    waits for {in_one_line(wait.waits_for, 500)}"
    for each in wait.processes:
        yield f"    process {each.pid}, {each.state}: {in_one_line(each.command, 100)}"
    for call in wait.stack[-5:]:
        yield f"    {in_one_line(call, 300)}"
    if wait.last_output_at:
        yield f"    last output at {wait.last_output_at}"
