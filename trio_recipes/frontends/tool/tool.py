"""The tool: one object with a name, a description, a schema and ``execute``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from attrs import field

from trio_recipes.classes import define
from trio_recipes.errors import InvalidCallError
from trio_recipes.frontends.tool import deciding, looking, running, stopping
from trio_recipes.frontends.tool.call import Call
from trio_recipes.frontends.tool.desk import Desk
from trio_recipes.frontends.tool.refusing import as_error
from trio_recipes.frontends.tool.result import ToolResult
from trio_recipes.frontends.tool.schema import DESCRIPTION, OPERATIONS, input_schema
from trio_recipes.language.wording import did_you_mean, listed

if TYPE_CHECKING:
    from trio_recipes.frontends.tool.desk import Remarks
    from trio_recipes.frontends.tool.running import OnSession
    from trio_recipes.language.model import AgentStep
    from trio_recipes.sessions.runtime import Runtime

_Handler: TypeAlias = Callable[[Desk, Call], Awaitable[Mapping[str, Any]]]

_HANDLERS: Final[Mapping[str, _Handler]] = {
    "execute": running.execute,
    "resume": running.resume,
    "status": looking.status,
    "list": looking.list_sessions,
    "validate": looking.validate,
    "approvals": deciding.approvals,
    "approve": deciding.approve,
    "deny": deciding.deny,
    "cancel": stopping.cancel,
}


def _none(_steps: Sequence[AgentStep]) -> Sequence[str]:
    return ()


@define(eq=False)
class RecipesTool:
    """Recipes as a tool for an agent loop: run, resume, look, approve and cancel by one object.

    Give ``name``, ``description`` and ``input_schema`` to the model, and what it calls the tool with to
    :meth:`execute`. It sees the sessions of the runtime's project only, whichever process runs them.

    Args:
        runtime: runs what the tool starts; sessions live on in it when their call has returned.
        allow_approval: whether the agent may approve (gates with ``by: human`` refuse it all the same).
        via: the door that decisions on gates are recorded with: ``tool`` or ``mcp``.
        requester: who calls, for the record of cancellations and decisions.
        remarks: what the host has to say about the agent steps of a recipe: warnings of ``validate``.
    """

    runtime: Runtime
    allow_approval: bool = field(default=True, kw_only=True)
    via: str = field(default="tool", kw_only=True)
    requester: str = field(default="", kw_only=True)
    remarks: Remarks = field(default=_none, kw_only=True)

    name: ClassVar[str] = "recipes"

    @property
    def description(self) -> str:
        """What the model reads about the tool."""
        return DESCRIPTION

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of the operations that this tool offers."""
        return tuple(name for name in OPERATIONS if self.allow_approval or name != "approve")

    @property
    def input_schema(self) -> dict[str, Any]:
        """A JSON Schema of what :meth:`execute` takes: one object, ``operation`` required."""
        return input_schema(self.operations)

    async def execute(self, arguments: Mapping[str, Any], *, on_session: OnSession | None = None) -> ToolResult:
        """Do one operation, and wait until it is done (``execute`` and ``resume``: unless ``background`` is true).

        Nothing is raised but ``trio.Cancelled``: what goes wrong is in the result. When the task that waits here is
        cancelled, the session that the call started or resumed is cancelled immediately, and this returns once that
        has stopped; sessions started in the background, or by other calls, are not touched.

        Args:
            arguments: as ``input_schema`` describes them; null counts as absent.
            on_session: called with the session as soon as ``execute`` or ``resume`` has one, before they wait.
        """
        operation = ""
        try:
            operation = self._operation(arguments)
            call = Call.checked(operation, arguments, on_session)
            output = await _HANDLERS[operation](self._desk, call)
        except Exception as error:
            return ToolResult(False, error=as_error(error, operation))
        return ToolResult(True, output=output)

    @property
    def _desk(self) -> Desk:
        return Desk(self.runtime, self.via, self.requester, self.remarks)

    def _operation(self, arguments: object) -> str:
        operation = arguments.get("operation") if isinstance(arguments, Mapping) else None
        if operation is None:
            raise InvalidCallError(f"operation is required: one of {listed(self.operations)}")
        if operation == "approve" and not self.allow_approval:
            raise InvalidCallError("approve is not for agents here: a person approves, with `trio-recipes approve`")
        if operation not in self.operations:
            near = did_you_mean(operation.lower(), self.operations) if isinstance(operation, str) else ""
            raise InvalidCallError(f"Unknown operation: {operation}{near}; there are: {listed(self.operations)}")
        return str(operation)
