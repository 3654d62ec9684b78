"""The tool as Amplifier's orchestrators call it: asyncio outside, and a ``ToolResult`` of Amplifier's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from trio_recipes.classes import frozen
from trio_recipes.frontends.tool.tool import RecipesTool
from trio_recipes.integrations.amplifier.agents import strangers
from trio_recipes.integrations.asyncio import in_trio
from trio_recipes.sessions.manager import SessionManager

if TYPE_CHECKING:
    from trio_recipes.frontends.tool.result import ToolResult
    from trio_recipes.integrations.amplifier.host import Host
    from trio_recipes.integrations.asyncio import Runtime

_log = logging.getLogger("trio_recipes.integrations")


@frozen(eq=False)
class AmplifierTool:
    """The tool ``recipes`` of one coordinator.

    Args:
        host: runs what is asked.
    """

    host: Host

    @property
    def name(self) -> str:
        """What the model calls it by."""
        return RecipesTool.name

    @property
    def description(self) -> str:
        """What the model reads about it."""
        return self._template.description

    @property
    def input_schema(self) -> dict[str, Any]:
        """A JSON Schema of what :meth:`execute` takes."""
        return self._template.input_schema

    @property
    def _template(self) -> RecipesTool:
        return self._on(None)

    def _on(self, runtime: Any) -> RecipesTool:
        allowed = self.host.settings.allow_approval
        remarks = partial(strangers, self.host.coordinator)
        return RecipesTool(runtime, allow_approval=allowed, requester=self.host.requester, remarks=remarks)

    async def execute(self, input: Mapping[str, Any]) -> Any:  # noqa: A002  Amplifier's name
        """Do one operation; hooks have heard of all that happened when this returns.

        Cancelling the task that waits here cancels the session that it started immediately, and waits for its end.

        Returns:
            A ``ToolResult`` of amplifier-core.

        Args:
            input: as ``input_schema`` describes it.
        """
        try:
            runtime = await self.host.runtime()
            result = await in_trio(partial(self._on(runtime.trio).execute, input, on_session=self.host.begun))
        except Exception as error:
            return _as_amplifiers(None, error)
        finally:
            await self.host.outbox.delivered()
        if result.success and (result.output or {}).get("status") == "completed":
            await self._clean_up(runtime)
        return _as_amplifiers(result)

    async def _clean_up(self, runtime: Runtime) -> None:
        """Delete old sessions that completed, as the module always did after a recipe."""
        trio_runtime, days = runtime.trio, self.host.settings.auto_cleanup_days
        try:
            manager = await asyncio.to_thread(SessionManager, trio_runtime.store.layout.root, days)
            await asyncio.to_thread(manager.cleanup_old_sessions, trio_runtime.project)
        except Exception:
            _log.exception("old sessions could not be deleted")


def _as_amplifiers(result: ToolResult | None, error: Exception | None = None) -> Any:
    Result = import_module("amplifier_core").ToolResult  # noqa: N806  a class; only hosts that have it get here
    if result is None:
        return Result(success=False, error={"message": str(error), "type": type(error).__name__})
    if result.success:
        return Result(success=True, output=dict(result.output or {}))
    return Result(success=False, error=dict(result.error or {}))
