"""What one call of the tool does. It goes on when its caller has left: what it began is then stopped gracefully."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import field

from trio_recipes.classes import define
from trio_recipes.events import Source

if TYPE_CHECKING:
    from trio_recipes.frontends.mcp.ending import Ending
    from trio_recipes.frontends.tool.result import ToolResult
    from trio_recipes.frontends.tool.tool import RecipesTool
    from trio_recipes.sessions.session import Session

_LEFT: Final = "the MCP client cancelled its call"


@define(eq=False)
class Work:
    """One call.

    Args:
        tool: does it.
        ending: of the server: what is begun while it ends stops at once.
        grace: seconds that steps in hand have when the caller has left; None: as long as they take.
        session: what the call runs, once there is one.
        result: what came of it.
    """

    tool: RecipesTool
    ending: Ending
    grace: float | None
    session: Session | None = None
    result: ToolResult | None = None
    _started: trio.Event = field(factory=trio.Event)
    _done: trio.Event = field(factory=trio.Event)
    _left: bool = False

    async def run(self, arguments: Mapping[str, Any]) -> None:
        """Do it; never cancelled, since the session has to come to its own end."""
        self.result = await self.tool.execute(arguments, on_session=self._begin)
        self._started.set()
        self._done.set()

    def _begin(self, session: Session) -> None:
        self.session = session
        self._started.set()
        self.ending.watch(session)
        if self._left:
            self._stop()

    async def begun(self) -> Session | None:
        """Wait until there is a session; None if it has ended without one."""
        await self._started.wait()
        return self.session

    async def wait(self) -> ToolResult:
        """Wait for what comes of it. Cancelling the wait means that the caller has left."""
        try:
            await self._done.wait()
        except trio.Cancelled:
            self.leave()
            raise
        assert self.result is not None
        return self.result

    def leave(self) -> None:
        """The caller has left, which it may do in two ways at once: stop what the call runs, now or once it begins."""
        if not self._left:
            self._left = True
            self._stop()

    def _stop(self) -> None:
        session = self.session
        if session is not None and session.result is None and not self.ending.begun:
            session.cancel(_LEFT, grace=self.grace, source=Source.TOOL, requester=self.tool.requester)
