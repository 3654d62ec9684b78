"""Recipes and sessions of the project, as resources."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import trio
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from trio_recipes.classes import frozen
from trio_recipes.errors import RecipesError
from trio_recipes.frontends.mcp.calls import as_text
from trio_recipes.frontends.mcp.recipes import describe_recipe, find_recipes
from trio_recipes.frontends.printable import printable
from trio_recipes.frontends.tool.tool import RecipesTool

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

    from trio_recipes.sessions.runtime import Runtime

RECIPE: Final = "recipe:///"
SESSION: Final = "session:///"
_JSON: Final = "application/json"
_MOST_SESSIONS: Final = 50


@frozen(eq=False)
class Resources:
    """Lists and reads them; nothing is run or changed.

    Args:
        runtime: whose project and store are shown.
    """

    runtime: Runtime

    async def listed(
        self, _ctx: ServerRequestContext[Any], _params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        """The project's recipes, and its newest sessions."""
        found = await trio.to_thread.run_sync(find_recipes, self.runtime.project, abandon_on_cancel=True)
        recipes = [Resource(uri=RECIPE + quote(path), name=printable(path), mime_type=_JSON) for path in found]
        listed = await RecipesTool(self.runtime).execute({"operation": "list", "limit": _MOST_SESSIONS})
        sessions = [_session(row) for row in (listed.output or {}).get("sessions", [])]
        return ListResourcesResult(resources=[*recipes, *sessions])

    async def templates(
        self, _ctx: ServerRequestContext[Any], _params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """How resources are named that are not listed."""
        recipe = ResourceTemplate(uri_template=f"{RECIPE}{{+path}}", name="recipe", mime_type=_JSON)
        session = ResourceTemplate(uri_template=f"{SESSION}{{session_id}}", name="session", mime_type=_JSON)
        return ListResourceTemplatesResult(resource_templates=[recipe, session])

    async def read(self, _ctx: ServerRequestContext[Any], params: ReadResourceRequestParams) -> ReadResourceResult:
        """What a recipe does, or where a session stands.

        Raises:
            MCPError: if there is no such recipe or session.
        """
        uri = str(params.uri)
        try:
            shown = await self._shown(uri)
        except RecipesError as error:
            raise MCPError(INVALID_PARAMS, str(error), {"uri": uri}) from error
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=_JSON, text=as_text(shown))])

    async def _shown(self, uri: str) -> Any:
        if uri.startswith(RECIPE):
            runtime = self.runtime
            describe = partial(describe_recipe, runtime.project, unquote(uri.removeprefix(RECIPE)), runtime.sources)
            return await trio.to_thread.run_sync(describe, abandon_on_cancel=True)
        if uri.startswith(SESSION):
            return await self._status(unquote(uri.removeprefix(SESSION)))
        raise MCPError(INVALID_PARAMS, f"no resource is called so; they begin with {RECIPE} or {SESSION}", {"uri": uri})

    async def _status(self, session_id: str) -> Any:
        result = await RecipesTool(self.runtime).execute({"operation": "status", "session_id": session_id})
        if not result.success:
            raise MCPError(INVALID_PARAMS, str((result.error or {}).get("message")), {"uri": SESSION + session_id})
        return result.output


def _session(row: Any) -> Resource:
    what = f"{row['recipe_name']}: {row['status']}, begun {row['started']}"
    return Resource(
        uri=SESSION + row["session_id"], name=row["session_id"], description=printable(what), mime_type=_JSON
    )
