"""An MCP server as its clients use it: a process of its own over pipes, the official SDK's client at our end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from attrs import define

from benchmarks.case import Bench, CannotMeasureError
from benchmarks.recipes import head
from benchmarks.running import exists
from benchmarks.waiting import LULL

if TYPE_CHECKING:
    from mcp import Client

_STEP = "steps:\n  - {{id: s, type: function, function: 'benchmarks.clocked_step:wait', args: {{file: {file}}}}}\n"


@define(eq=False)
class McpClient:
    """A client with a recipe to run and to cancel.

    Args:
        client: connected.
        recipe: with one step that waits.
        noted: where that step notes when it has ended.
    """

    client: Client
    recipe: Path
    noted: Path

    @classmethod
    @asynccontextmanager
    async def connected(cls, bench: Bench) -> AsyncGenerator[McpClient | None]:
        """Have a server and its client; None where the SDK is not installed."""
        try:
            from mcp import Client, StdioServerParameters  # noqa: PLC0415  an extra
        except ImportError:
            yield None
            return
        recipe, noted = bench.folder / "mcp.yaml", bench.folder / "mcp.step"
        recipe.write_text(  # noqa: ASYNC240  one file
            head("mcp") + _STEP.format(file=noted), encoding="utf-8"
        )
        options = ["--import-functions", "--agents", "echo", "--store", str(bench.folder / "mcp")]
        command = ["-m", "trio_recipes", "mcp", *options, "--project", str(bench.folder)]
        server = StdioServerParameters(command=sys.executable, args=command, cwd=bench.root, env=dict(os.environ))
        async with Client(server) as client:
            yield cls(client, recipe, noted)

    async def cancel(self) -> dict[str, float]:
        """Run the recipe by one call and cancel it by another.

        Returns:
            Seconds from the second call until the step's ``finally`` runs, and until the first one has its answer: what
            that says is durable.

        Raises:
            CannotMeasureError: if the server refuses.
        """
        self.noted.unlink(missing_ok=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._call, "execute", {"recipe_path": str(self.recipe)})
            session_id = await self._running()
            began = time.monotonic_ns()
            answer = await self._call("cancel", {"session_id": session_id, "immediate": True})
        ended = time.monotonic_ns()
        if answer.is_error:
            raise CannotMeasureError(f"the server: {answer.structured_content}")
        return {"finally": (int(self.noted.read_text("ascii")) - began) / 1e9, "durable": (ended - began) / 1e9}

    async def _running(self) -> str:
        """The id of the session whose step waits, a moment later."""
        await exists(self.noted)
        await trio.sleep(LULL)
        sessions = (await self._call("list", {})).structured_content["sessions"]
        [running] = [session for session in sessions if session["status"] == "running"]
        return str(running["session_id"])

    async def _call(self, operation: str, arguments: dict[str, Any]) -> Any:
        return await self.client.call_tool("recipes", {"operation": operation, **arguments})
