"""Modules that make an AmplifierSession whole: a model that reads from a script, a loop that does what it says.

They are loaded as Amplifier loads every module, by entry point: :func:`installed` writes the metadata of a
distribution that names them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from amplifier_core.message_models import ChatRequest, ChatResponse, Message, TextBlock, ToolCall, ToolSpec
from amplifier_core.models import ProviderInfo
from attrs import define, field

if TYPE_CHECKING:
    from amplifier_core import ToolResult

TOOL_PRE, TOOL_POST = "tool:pre", "tool:post"
"""Events of Amplifier's own; its constants have these values, and type checkers don't see them."""

ENTRY_POINTS = """\
[amplifier.modules]
loop-scripted = {module}:mount_loop
context-scripted = {module}:mount_context
provider-scripted = {module}:mount_provider
"""

Script = Sequence[Mapping[str, Any] | str]
"""What the model answers, turn by turn: arguments for the tool ``recipes``, or a text, which ends the prompt.

``$SESSION`` in an argument is the recipe session that the last result told of.
"""


def installed(folder: Path) -> Path:
    """Put the metadata of these modules into a folder; it does its work once that is on ``sys.path``."""
    metadata = folder / "amplifier_scripted-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: amplifier-scripted\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS.format(module=__name__))
    return folder


def mount_plan(script: Script, tool: Mapping[str, Any], **agents: Any) -> dict[str, Any]:
    """The configuration of a session: our tool, and these modules."""
    return {
        "session": {"orchestrator": {"module": "loop-scripted"}, "context": {"module": "context-scripted"}},
        "providers": [{"module": "provider-scripted", "config": {"script": script}}],
        "tools": [{"module": "tool-trio-recipes", "config": dict(tool)}],
        "agents": agents,
    }


@define(eq=False)
class Memory:
    """Keeps messages."""

    messages: list[dict[str, Any]] = field(factory=list)

    async def add_message(self, message: dict[str, Any]) -> None:
        self.messages.append(message)

    async def get_messages_for_request(self, token_budget: int | None = None, provider: Any = None) -> list[Any]:
        return list(self.messages)

    async def get_messages(self) -> list[dict[str, Any]]:
        return list(self.messages)

    async def set_messages(self, messages: list[dict[str, Any]]) -> None:
        self.messages = messages

    async def clear(self) -> None:
        self.messages = []


@define(eq=False)
class Model:
    """Answers with the next line of its script, and remembers which tools it was offered."""

    script: list[Mapping[str, Any] | str]
    offered: list[Any] = field(factory=list)

    name: ClassVar[str] = "scripted"

    def get_info(self) -> ProviderInfo:
        return ProviderInfo(id=self.name, display_name="A script")

    async def list_models(self) -> list[Any]:
        return []

    async def complete(self, request: ChatRequest, **_options: Any) -> ChatResponse:
        self.offered.append(request.tools)
        line = self.script.pop(0)
        if isinstance(line, str):
            return ChatResponse(content=[TextBlock(text=line)])
        call = ToolCall(id=f"call-{len(self.script)}", name="recipes", arguments=self._filled(line, request.messages))
        return ChatResponse(content=[], tool_calls=[call])

    def _filled(self, line: Mapping[str, Any], messages: Sequence[Message]) -> dict[str, Any]:
        told = [json.loads(str(message.content)) for message in messages if message.role == "tool"]
        known = [each["session_id"] for each in told if "session_id" in each]
        return {name: known[-1] if value == "$SESSION" else value for name, value in line.items()}

    def parse_tool_calls(self, response: ChatResponse) -> list[ToolCall]:
        return response.tool_calls or []


class Loop:
    """Asks the model and runs its tool calls, until it answers with a text or the session is cancelled."""

    async def execute(
        self, prompt: str, context: Any, providers: Any, tools: Any, hooks: Any, *, coordinator: Any, **_more: Any
    ) -> str:
        await context.add_message({"role": "user", "content": prompt})
        (model,) = providers.values()
        while not coordinator.cancellation.is_cancelled:
            messages = [Message(**each) for each in await context.get_messages_for_request()]
            specs = [
                ToolSpec(name=t.name, description=t.description, parameters=t.input_schema) for t in tools.values()
            ]
            answer = await model.complete(ChatRequest(messages=messages, tools=specs))
            calls = model.parse_tool_calls(answer)
            if not calls:
                return str(answer.content[0].text)
            for call in calls:
                result = await self._called(call, tools[call.name], hooks, coordinator.cancellation)
                content = json.dumps(result.output if result.success else result.error)
                await context.add_message({"role": "tool", "tool_call_id": call.id, "content": content})
        return "cancelled"

    async def _called(self, call: ToolCall, tool: Any, hooks: Any, token: Any) -> ToolResult:
        token.register_tool_start(call.id, call.name)
        try:
            await hooks.emit(TOOL_PRE, {"tool_name": call.name, "tool_input": call.arguments})
            result: ToolResult = await tool.execute(call.arguments)
            await hooks.emit(TOOL_POST, {"tool_name": call.name, "result": result.model_dump()})
        finally:
            token.register_tool_complete(call.id)
        return result


async def mount_loop(coordinator: Any, _config: Any) -> None:
    """Mount the loop."""
    await coordinator.mount("orchestrator", Loop())


async def mount_context(coordinator: Any, _config: Any) -> None:
    """Mount the memory."""
    await coordinator.mount("context", Memory())


async def mount_provider(coordinator: Any, config: Mapping[str, Any]) -> None:
    """Mount the model; ``config["script"]`` is what it says."""
    await coordinator.mount("providers", Model(list(config["script"])), name=Model.name)
