"""``tools/call``: the recipes tool for MCP clients, with progress, questions at gates, and cancellation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import evolve
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ElicitRequest,
    ElicitResult,
    InputRequests,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

from trio_recipes.classes import frozen
from trio_recipes.errors import InvalidCallError
from trio_recipes.frontends.cli.deciding import how_to_decide
from trio_recipes.frontends.mcp.gates import KEY, Question, can_ask
from trio_recipes.frontends.mcp.guard import departure
from trio_recipes.frontends.mcp.progress import Notices, tell
from trio_recipes.frontends.mcp.work import Work
from trio_recipes.frontends.printable import printable
from trio_recipes.frontends.tool.refusing import as_error
from trio_recipes.frontends.tool.result import ToolResult
from trio_recipes.frontends.tool.schema import DESCRIPTION, OPERATIONS, input_schema
from trio_recipes.frontends.tool.tool import RecipesTool
from trio_recipes.runtime.scope import concurrent

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

    from trio_recipes.frontends.mcp.ending import Ending

_DECISIONS: Final = frozenset({"approve", "deny"})
_LAST_NOTICE_SECONDS: Final = 1.0
"""For progress that is still on its way when the call has ended."""


@frozen(eq=False)
class Calls:
    """Answers calls of the tool.

    Args:
        ending: of the server, with its runtime.
        nursery: where calls are worked on, until the server ends.
        allow_approve: whether the client's model may approve and deny by itself.
        grace: seconds that steps in hand have when a call was cancelled; None: as long as they take.
    """

    ending: Ending
    nursery: trio.Nursery
    allow_approve: bool
    grace: float | None

    async def tools(self, _ctx: ServerRequestContext[Any], _params: PaginatedRequestParams | None) -> ListToolsResult:
        """The one tool there is."""
        operations = [name for name in OPERATIONS if self._offers(name)]
        tool = Tool(
            name=RecipesTool.name,
            title="Recipes",
            description=DESCRIPTION,
            input_schema=input_schema(operations),
            annotations=ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=True),
        )
        return ListToolsResult(tools=[tool])

    async def call(
        self, ctx: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        """Do what a client asks, until it is done, or has to be asked itself.

        Raises:
            MCPError: if there is no such tool.
        """
        if params.name != RecipesTool.name:
            raise MCPError(INVALID_PARAMS, f"there is no tool {params.name!r}, only {RecipesTool.name!r}")
        notices = Notices(ctx.session.report_progress)
        if params.request_state is not None:
            question = Question.from_state(params.request_state)
            return await self._decided(ctx, notices, question, (params.input_responses or {}).get(KEY))
        arguments = params.arguments or {}
        operation = str(arguments.get("operation"))
        if not self._offers(operation):
            return as_call_result(ToolResult(False, error=as_error(_not_for_agents(operation), operation)))
        return await self._run(ctx, notices, arguments)

    def _offers(self, operation: str) -> bool:
        return self.allow_approve or operation not in _DECISIONS

    async def _run(
        self, ctx: ServerRequestContext[Any], notices: Notices, arguments: Mapping[str, Any]
    ) -> CallToolResult | InputRequiredResult:
        work = Work(self._tool(ctx), self.ending, self.grace)
        self.nursery.start_soon(work.run, arguments)
        result = await _waited_for(work, departure(ctx.request), None if arguments.get("background") else notices)
        question = Question.of(work.session.result if work.session else None)
        if question is None or not can_ask(ctx.session.client_capabilities):
            return self._shown(result)
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:  # the answer comes with another call
            asked: InputRequests = {KEY: ElicitRequest(params=question.form())}
            return InputRequiredResult(input_requests=asked, request_state=question.state())
        answer = await _answer(ctx, question)
        if answer is None:
            return self._shown(result)
        return await self._decided(ctx, notices, question, answer)

    def _shown(self, result: ToolResult) -> CallToolResult:
        """A result; whoever may not decide on the gate in it is told who may, and how."""
        output = result.output or {}
        by_human = output.get("approval_by") == "human"
        if output.get("status") == "paused_for_approval" and (by_human or not self.allow_approve):
            commands = "; ".join(line.strip() for line in how_to_decide(output["session_id"], output["stage_name"]))
            message = f"It waits for a person, who decides in a terminal: {commands}. Then use 'resume'."
            result = evolve(result, output={**output, "message": message})
        return as_call_result(result)

    async def _decided(
        self, ctx: ServerRequestContext[Any], notices: Notices, question: Question, answer: object
    ) -> CallToolResult | InputRequiredResult:
        """Carry a person's answer out, and go on with the session if it was yes."""
        decision = question.decision(answer)
        if decision is None:
            return await self._run(ctx, notices, {"operation": "status", "session_id": question.session_id})
        result = await self._tool(ctx, by="a person at ").execute(decision)
        if not result.success or decision["operation"] == "deny":
            return as_call_result(result)
        return await self._run(ctx, notices, {"operation": "resume", "session_id": question.session_id})

    def _tool(self, ctx: ServerRequestContext[Any], by: str = "") -> RecipesTool:
        may_approve = self.allow_approve or bool(by)
        return RecipesTool(self.ending.runtime, allow_approval=may_approve, via="mcp", requester=f"{by}{_name(ctx)}")


async def _waited_for(work: Work, departed: trio.Event | None, notices: Notices | None) -> ToolResult:
    """What comes of a call, whose client is told meanwhile how far it is, and may close its connection."""
    async with concurrent() as nursery:
        nursery.start_soon(_once_departed, departed, work.leave)
        told = trio.Event()
        nursery.start_soon(tell, work, notices, told)
        result = await work.wait()
        with trio.move_on_after(_LAST_NOTICE_SECONDS):
            await told.wait()
        nursery.cancel_scope.cancel(reason="the call has ended")
    return result


async def _answer(ctx: ServerRequestContext[Any], question: Question) -> ElicitResult | None:
    """A person's answer; None if the client could not ask, left, or made none that makes sense."""
    form, answer = question.form(), None
    async with concurrent() as nursery:
        nursery.start_soon(_once_departed, departure(ctx.request), nursery.cancel_scope.cancel)
        with suppress(MCPError, ValueError):
            answer = await ctx.session.elicit_form(form.message, form.requested_schema, ctx.request_id)
        nursery.cancel_scope.cancel(reason="the question is over")
    return answer


async def _once_departed(departed: trio.Event | None, act: Callable[[], None]) -> None:
    if departed is not None:
        await departed.wait()
        act()


def _name(ctx: ServerRequestContext[Any]) -> str:
    client = ctx.session.client_params
    return printable(client.client_info.name) if client else "an MCP client"


def _not_for_agents(operation: str) -> InvalidCallError:
    return InvalidCallError(f"{operation} is not for agents here: a person decides, with `trio-recipes {operation}`")


def as_call_result(result: ToolResult) -> CallToolResult:
    """A result as the client gets it: as JSON for programs, and as the same JSON for models."""
    text = as_text(result.output if result.success else {"error": result.error})
    content: list[ContentBlock] = [TextContent(type="text", text=text)]
    return CallToolResult(content=content, structured_content=json.loads(text), is_error=not result.success)


def as_text(value: object) -> str:
    """A value as JSON that can be sent: half a character, which an output may hold, can't."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
