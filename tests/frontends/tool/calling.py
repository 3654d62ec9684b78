"""A runtime with the tool on it, and recipes to call it with."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from tests.frontends.running import write_recipe
from trio_recipes import RecipesTool, Session, open_runtime
from trio_recipes.runtime.scope import concurrent

SLOW = """
- id: first
  type: bash
  command: echo one
- id: slow
  type: bash
  command: echo begun >> ledger; until test -e gate; do sleep 0.02; done; echo two
- id: last
  type: bash
  command: echo three
"""

STAGED = """\
name: staged
description: asks once
version: 1.0.0
stages:
  - name: build
    steps:
      - {id: make, type: bash, command: echo made}
    approval: {required: true, prompt: "Ship {{make_output}}?" %s}
  - name: release
    steps:
      - {id: ship, type: bash, command: "echo shipped: {{_approval_message}}", output: final_output}
"""


@define(eq=False)
class Caller:
    """Calls the tool as an agent loop does."""

    project: Path
    tool: RecipesTool

    async def __call__(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """The result as the agent reads it: ``output`` or ``error``, with ``success``."""
        result = await self.tool.execute({"operation": operation, **arguments})
        return {"success": result.success, **(result.output or {}), **(result.error or {})}

    def recipe(self, steps: str, head: str = "", name: str = "probe") -> str:
        """Write a recipe; returns its path as an agent gives it."""
        return write_recipe(self.project, steps, head, name).name

    def staged(self, more: str = "") -> str:
        """Write a recipe with one gate."""
        (self.project / "staged.yaml").write_text(STAGED.replace("{{make_output}}", "it") % more)
        return "staged.yaml"

    def open_gate(self) -> None:
        """Let the slow step end."""
        (self.project / "gate").touch()


@asynccontextmanager
async def calling(
    project: Path, *, via: str = "tool", allow_approval: bool = True, **options: Any
) -> AsyncGenerator[Caller]:
    """Open a runtime with a tool."""
    async with open_runtime(project=project, durability="process", **options) as runtime:
        yield Caller(project, RecipesTool(runtime, via=via, allow_approval=allow_approval))


@define(eq=False)
class Pending:
    """A call under way."""

    scope: trio.CancelScope = field(factory=trio.CancelScope)
    answer: dict[str, Any] | None = None
    cancelled: bool = False
    _session: Session | None = None
    _begun: trio.Event = field(factory=trio.Event)
    _ended: trio.Event = field(factory=trio.Event)

    def begin(self, session: Session) -> None:
        """Take the session, as ``on_session`` gives it."""
        self._session = session
        self._begun.set()

    async def session(self) -> Session:
        """The session, once there is one."""
        await self._begun.wait()
        assert self._session
        return self._session

    async def reaches(self, path: str) -> Session:
        """The session, once it has come to a scope."""
        session = await self.session()
        async with aclosing(session.events()) as events:
            async for stamped in events:
                if stamped.event.name == "scope_started" and stamped.event.path == path:
                    return session
        raise AssertionError(f"never came to {path}")

    async def end(self) -> dict[str, Any]:
        """What the call returned."""
        await self.over()
        assert self.answer is not None
        return self.answer

    async def over(self) -> None:
        """Wait until the call has ended, whichever way."""
        await self._ended.wait()

    async def run(self, caller: Caller, arguments: dict[str, Any]) -> None:
        """Make the call, in a scope of its own."""
        try:
            with self.scope:
                result = await caller.tool.execute(arguments, on_session=self.begin)
                self.answer = {"success": result.success, **(result.output or {}), **(result.error or {})}
            self.cancelled = self.scope.cancelled_caught
        finally:
            self._ended.set()


@asynccontextmanager
async def pending(caller: Caller, **arguments: Any) -> AsyncGenerator[Pending]:
    """A call that goes on while the body runs."""
    call = Pending()
    async with concurrent() as nursery:
        nursery.start_soon(call.run, caller, arguments)
        yield call
