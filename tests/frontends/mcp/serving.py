"""An MCP server as its clients meet it: a process of its own, the official SDK's client at the other end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field
from mcp import Client, StdioServerParameters
from mcp.types import ElicitRequestParams, ElicitResult

from tests.frontends.running import PATIENCE, environment, spawned

MODES = ("auto", "legacy")
"""The protocol of 2026, and the one before."""

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "wire", "version": "1"}}

ABOUT = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "wire", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
"""What goes along with every request of the protocol of 2026, in `_meta`."""

GATED = """
- name: build
  steps: [{id: make, type: bash, command: echo made, output: made}]
  approval: {required: true, prompt: "Publish {{made}}?"}
- name: publish
  steps: [{id: push, type: bash, command: 'echo "{{_approval_message}}"'}]
"""


def staged(folder: Path, stages: str, name: str) -> str:
    """A recipe of these stages; returns its file's name."""
    head = f"name: {name}\ndescription: a probe\nversion: 1.0.0\nstages:\n"
    (folder / f"{name}.yaml").write_text(head + stages)
    return f"{name}.yaml"


@asynccontextmanager
async def connected(project: Path, *options: str, **client: Any) -> AsyncGenerator[Client]:
    """A client of a server of its own, over pipes."""
    arguments = ["-m", "trio_recipes", "mcp", *options]
    server = StdioServerParameters(command=sys.executable, args=arguments, cwd=project, env=environment())
    async with Client(server, **client) as connection:
        yield connection


async def recipes(client: Client, operation: str, **arguments: Any) -> Any:
    """What a call of the tool comes to: its output, or its error."""
    progress = arguments.pop("progress", None)
    call = {"operation": operation, **arguments}
    result = await client.call_tool("recipes", call, progress_callback=progress)
    return result.structured_content["error"] if result.is_error else result.structured_content


async def until(condition: Callable[[], object]) -> None:
    """Poll for what happens in other processes."""
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.02)


@define
class Person:
    """Answers questions, and remembers them."""

    action: Any = "accept"
    content: dict[str, Any] | None = None
    asked: list[str] = field(factory=list)

    async def __call__(self, _context: Any, params: ElicitRequestParams) -> ElicitResult:
        """Be asked."""
        self.asked.append(params.message)
        return ElicitResult(action=self.action, content=self.content)


@define
class Progress:
    """What a client is told while its call lasts."""

    told: list[tuple[float, float | None, str | None]] = field(factory=list)

    async def __call__(self, done: float, total: float | None, message: str | None) -> None:
        """Be told."""
        self.told.append((done, total, message))


@define
class Wire:
    """The server's pipes, for what the SDK's client would hide."""

    process: subprocess.Popen[str]
    _calls: int = 0

    def ask(self, method: str, **params: Any) -> int:
        """Send a request; returns its id."""
        self._calls += 1
        self._send({"id": self._calls, "method": method, "params": params})
        return self._calls

    def tell(self, method: str, **params: Any) -> None:
        """Send a notification."""
        self._send({"method": method, **({"params": params} if params else {})})

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def next(self) -> dict[str, Any]:
        """The next line on standard output, which has to be protocol."""
        assert self.process.stdout
        message: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert message["jsonrpc"] == "2.0"
        return message

    def shake_hands(self) -> None:
        """Begin."""
        asked = self.ask("initialize", **HELLO)
        assert self.next()["id"] == asked
        self.tell("notifications/initialized")

    def run(self, recipe: str, **context: Any) -> int:
        """Call the tool; returns the request's id."""
        arguments = {"operation": "execute", "recipe_path": recipe, "context": context}
        return self.ask("tools/call", name="recipes", arguments=arguments)


@contextmanager
def wired(project: Path, *options: str, greet: bool = True) -> Generator[Wire]:
    """A server at the other end of two pipes; ``greet``: with the handshake of the protocol before 2026."""
    command = [sys.executable, "-m", "trio_recipes", "mcp", *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with spawned(command, cwd=project, **pipes) as process:
        wire = Wire(process)
        if greet:
            wire.shake_hands()
        yield wire
