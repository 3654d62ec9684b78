"""Opening a runtime in an asyncio application, and running one recipe in one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import trio

from trio_recipes.integrations.asyncio.adapters import adapted_agents, adapted_functions
from trio_recipes.integrations.asyncio.calls import Call
from trio_recipes.integrations.asyncio.guest import Guest
from trio_recipes.integrations.asyncio.likeness import function_like
from trio_recipes.integrations.asyncio.runtime import Runtime
from trio_recipes.sessions import opening

if TYPE_CHECKING:
    from types import TracebackType

    from trio_recipes.language.model import Recipe
    from trio_recipes.sessions.runtime import Runtime as TrioRuntime


class Opening:
    """What :func:`open_runtime` returns, for ``async with``."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._leave = trio.Event()

    async def __aenter__(self) -> Runtime:
        self._guest = await Guest.join(self)
        try:
            return Runtime(await self._opened())
        except BaseException:
            await self._guest.part(self)  # noqa: ASYNC102  asyncio: it outlasts cancellation
            raise

    async def _opened(self) -> TrioRuntime:
        self._runtime: asyncio.Future[TrioRuntime] = asyncio.get_running_loop().create_future()
        self._call = Call(self._hold)
        either: list[asyncio.Future[Any]] = [self._runtime, self._call.future]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError as error:
            await self._call.stopped(error)  # noqa: ASYNC102  asyncio: it outlasts cancellation
            raise
        if not self._runtime.done():
            await self._call.result()  # raises why it could not be opened
        return self._runtime.result()

    async def _hold(self) -> None:
        """In trio: hold the runtime open."""
        async with opening.open_runtime(**self._options) as runtime:
            self._runtime.set_result(runtime)
            await self._leave.wait()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._close(error)  # noqa: ASYNC102  asyncio: it outlasts cancellation
        finally:
            await self._guest.part(self)  # noqa: ASYNC102  asyncio: it outlasts cancellation

    async def _close(self, error: BaseException | None) -> None:
        if isinstance(error, asyncio.CancelledError):
            await self._call.stopped(error)
            return
        if error is not None:
            self._runtime.result().cancel_all(f"the host's code raised {type(error).__name__}")
        self._leave.set()
        await self._call.ended()  # perhaps before this: with its loop


@function_like(opening.open_runtime)
def open_runtime(**options: Any) -> Opening:
    """Open a runtime in an asyncio application, for ``async with``.

    Leaving normally waits for its sessions; leaving by an exception cancels them immediately. trio runs as the guest of
    the running loop, in its thread, as long as a runtime is open there.

    Args:
        options: as for :func:`trio_recipes.open_runtime`; functions and agents of the application may be written for
            asyncio.

    Raises:
        StoreUnusableError: if the store can't be used.
        ConfigurationError: if the agents can't be loaded, or this thread runs trio already.
    """
    adapted = {**options, "agents": adapted_agents(options.get("agents"))}
    return Opening({**adapted, "functions": adapted_functions(options.get("functions") or {})})


async def run_recipe(
    recipe: Recipe | str | os.PathLike[str], context: Mapping[str, Any] | None = None, **options: Any
) -> Mapping[str, Any]:
    """Run one recipe to its end, as in ``asyncio.run(run_recipe("review.yaml"))``.

    Args:
        recipe: a file, or a recipe that was loaded before.
        context: variables over the recipe's own.
        options: as for :func:`trio_recipes.open_runtime`.

    Returns:
        The final context.

    Raises:
        RecipesError: what ``Runtime.run`` raises.
    """
    async with open_runtime(**options) as runtime:
        return await runtime.run(recipe, context)
