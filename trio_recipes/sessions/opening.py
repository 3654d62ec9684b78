"""Opening a runtime, and running one recipe in one."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from trio_recipes.agents.http.connections import Connections
from trio_recipes.agents.load import configured_agents, name_of
from trio_recipes.agents.prices import Prices, load_prices
from trio_recipes.agents.prices import Source as PriceSource
from trio_recipes.agents.resolver import Resolver, StandardResolver
from trio_recipes.classes import frozen
from trio_recipes.errors import ConfigurationError
from trio_recipes.processes.trees import ProcessTrees
from trio_recipes.runtime.scope import concurrent
from trio_recipes.sessions.policy import Policy
from trio_recipes.sessions.recordings import recorded_answers
from trio_recipes.sessions.runtime import Runtime
from trio_recipes.sessions.sources import Bundles, Sources, project_bundles
from trio_recipes.steps.apart import STOP_TIMEOUT, Apart
from trio_recipes.store.base import open_store
from trio_recipes.store.journal import Journal
from trio_recipes.store.owner import RunnerLock

if TYPE_CHECKING:
    from trio_recipes.agents.registry import Agents
    from trio_recipes.events import Stamped
    from trio_recipes.language.model import Recipe
    from trio_recipes.store.sqlite import SqliteStore


@asynccontextmanager
async def open_runtime(  # noqa: PLR0913  each is a choice of its own, and all have defaults
    *,
    store: SqliteStore | str | os.PathLike[str] | None = None,
    agents: Any = None,
    resolver: Resolver | None = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
    policy: Policy | None = None,
    bundles: Bundles = None,
    project: str | os.PathLike[str] | None = None,
    durability: str = "power",
    observe: Callable[[str, Stamped], None] | None = None,
    wait_approval: bool = False,
    stop_timeout: float = STOP_TIMEOUT,
    prices: PriceSource = None,
) -> AsyncGenerator[Runtime]:
    """Open a runtime, for ``async with``.

    Leaving normally waits for its sessions; leaving by an exception cancels them immediately. Sessions end although a
    function or backend resists being stopped; leaving this block then waits for it, as trio has it.

    Args:
        store: an address or a store; the user's own by default.
        agents: who answers agent steps: a backend, a mapping of names or globs to backends, an agents file, or
            ``"echo"``; without one, what the project's ``trio-recipes.toml`` and the user's configuration say.
        resolver: chooses who answers each agent step among ``agents``; by default, by the rules of the language.
        functions: callables that ``function`` steps may name.
        policy: what recipes may do; by default all but ``package.module:callable`` functions.
        bundles: where ``@bundle:path`` leads to: folders by name, or a function that is given the whole of it; by
            default, what the project's ``trio-recipes.toml`` says.
        project: the project's folder; the current one by default.
        durability: ``power``: an fsync per commit; ``process``: survives any crash of the program only.
        wait_approval: stay up at approval gates and go on by itself, rather than pause.
        stop_timeout: seconds to wait for a function or backend that does not end when it is stopped; then its step
            ends without it, and it is reported as ``still_running``.
        prices: what models charge: a file, or a mapping as it stands in one (see ``agents.prices``); by default the
            user's own file.
        observe: called in the loop for each event once it is durable, with the session's id.

    Raises:
        StoreUnusableError: if the store can't be used.
        ConfigurationError: if the agents can't be loaded, or trio does not run here.
    """
    _check_that_trio_runs()
    base = await trio.to_thread.run_sync(partial(_lay_out, store, agents, project, durability, prices))
    hosts: BaseException | None = None
    try:
        async with (
            Connections() as connections,
            _guests(stop_timeout) as apart,
            Journal() as journal,
            ProcessTrees(base.lock.runner_id, lock_fd=base.lock.fd) as trees,
            concurrent() as nursery,
        ):
            runtime = Runtime(
                store=base.store,
                project=base.project,
                agents=base.agents.attached(trees).connected(connections),
                resolver=StandardResolver() if resolver is None else resolver,
                functions=functions or {},
                sources=Sources(policy or Policy(), project_bundles(base.project) if bundles is None else bundles),
                apart=apart,
                prices=base.prices,
                journal=journal,
                trees=trees,
                lock=base.lock,
                nursery=nursery,
                observe=observe,
                stays_at_gates=wait_approval,
            )
            try:
                yield runtime
            except trio.Cancelled:
                raise
            except BaseException as error:  # raised again below, as it was, once the sessions have ended
                hosts = error
                runtime.cancel_all(f"the host's code raised {type(error).__name__}")
    finally:
        base.lock.release()
    if hosts is not None:
        raise hosts


def _check_that_trio_runs() -> None:
    if not trio.lowlevel.in_trio_task():
        raise ConfigurationError(
            "trio_recipes.open_runtime is for trio: in an asyncio application, use the one of "
            "trio_recipes.integrations.asyncio; in a program without a loop, trio.run(trio_recipes.run_recipe, …)"
        )


@asynccontextmanager
async def _guests(stop_timeout: float) -> AsyncGenerator[Apart]:
    """Where functions and backends run, around all sessions: left when the last of them has ended."""
    async with concurrent() as nursery:
        apart = Apart(nursery, stop_timeout)
        try:
            yield apart
        finally:
            apart.close()


@frozen(eq=False)
class _Base:
    """What a runtime stands on: made in a thread, since all of it touches the disk."""

    store: SqliteStore
    project: str
    agents: Agents
    prices: Prices
    lock: RunnerLock


def _lay_out(
    store: SqliteStore | str | os.PathLike[str] | None,
    agents: Any,
    project: str | os.PathLike[str] | None,
    durability: str,
    prices: PriceSource,
) -> _Base:
    folder = str(Path(project or Path.cwd()).resolve())
    if store is None or isinstance(store, (str, os.PathLike)):
        store = open_store(None if store is None else os.fspath(store), durability=durability)
    known = configured_agents(agents, folder).recalled(partial(recorded_answers, store))
    charged = load_prices(prices)
    lock = RunnerLock(store.layout, name_of(agents))
    lock.acquire()
    return _Base(store, folder, known, charged, lock)


async def run_recipe(
    recipe: Recipe | str | os.PathLike[str], context: Mapping[str, Any] | None = None, **options: Any
) -> Mapping[str, Any]:
    """Run one recipe to its end, as in ``trio.run(run_recipe, "review.yaml")``.

    Args:
        recipe: a file, or a recipe that was loaded before.
        context: variables over the recipe's own.
        options: as for :func:`open_runtime`.

    Returns:
        The final context.

    Raises:
        RecipesError: what ``Runtime.start`` and ``SessionResult.unwrap`` raise.
    """
    async with open_runtime(**options) as runtime:
        session = await runtime.start(recipe, context)
        result = await session.wait()
    return result.unwrap()
