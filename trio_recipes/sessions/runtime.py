"""Opening a runtime: one runner, its journal, its process trees, and the sessions that it runs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field

from trio_recipes.agents.load import configured_agents
from trio_recipes.agents.registry import Agents, unanswered
from trio_recipes.errors import ConfigurationError
from trio_recipes.events import SessionCreated
from trio_recipes.language.model import Recipe
from trio_recipes.processes.sweep import kill_marked
from trio_recipes.processes.trees import ProcessTrees
from trio_recipes.progress.frame import SessionFacts, root_frame
from trio_recipes.progress.replay import Replay
from trio_recipes.runtime.drive import Driver
from trio_recipes.runtime.engine import Engine
from trio_recipes.runtime.scope import ScopeTree, concurrent
from trio_recipes.sessions.recipes import FrozenRecipes, Prepared, agent_names, function_names, prepare
from trio_recipes.sessions.session import Session
from trio_recipes.steps.agent import AgentRunner
from trio_recipes.steps.bash import BashRunner
from trio_recipes.steps import named
from trio_recipes.steps.function import FunctionRunner
from trio_recipes.store.base import open_store
from trio_recipes.store.codec import iso
from trio_recipes.store.journal import Journal, SessionLog
from trio_recipes.store.layout import new_session_id
from trio_recipes.store.owner import RunnerLock
from trio_recipes.store.runs import Opening, begin, create
from trio_recipes.values import normalise

if TYPE_CHECKING:
    from trio_recipes.events import Stamped
    from trio_recipes.progress.fold import Progress
    from trio_recipes.runtime.ports import LeafRunner
    from trio_recipes.store.sqlite import SqliteStore


@define(eq=False)
class Runtime:
    """Runs sessions. Made by :func:`open_runtime`.

    Args:
        store: where sessions live.
        project: the project's folder: where commands run, unless they say otherwise.
        agents: who answers agent steps.
        functions: callables by name.
        import_functions: whether ``package.module:callable`` is allowed (the command line: yes; embedded: no).
        sessions: those of this runtime, by id.
    """

    store: SqliteStore
    project: str
    agents: Agents
    functions: Mapping[str, Callable[..., Any]]
    import_functions: bool
    _journal: Journal
    _trees: ProcessTrees
    _lock: RunnerLock
    _nursery: trio.Nursery
    _observe: Callable[[str, Stamped], None] | None = None
    sessions: dict[str, Session] = field(factory=dict)

    async def start(
        self,
        recipe: Recipe | str | os.PathLike[str],
        context: Mapping[str, Any] | None = None,
        *,
        parent_session_id: str | None = None,
    ) -> Session:
        """Check a recipe, make a session durable, and begin to run it.

        Args:
            recipe: a file, or a recipe that was loaded before.
            context: variables over the recipe's own.
            parent_session_id: links sessions that were started separately.

        Raises:
            InvalidRecipeError: with every problem of the recipe and those it names; nothing was created.
            ConfigurationError: if an agent or a function is not configured; nothing was created.
            ValueRefusedError: if ``context`` holds what JSON can't; nothing was created.
            StoreError: if the session can't be made durable.
        """
        given = normalise(dict(context or {}), "context")
        assert isinstance(given, dict)
        source = recipe if isinstance(recipe, Recipe) else Path(recipe)
        prepared = await trio.to_thread.run_sync(prepare, source, given, self.project)
        self._check(prepared)
        created = self._created(prepared.recipe, given, parent_session_id)
        file = self.store.file(created.session_id)
        opening = await self._journal.call(lambda: create(file, created, prepared.frozen(), self._lock))
        assert opening is not None
        return self._launch(opening)

    async def resume(self, session_id: str) -> Session:
        """Run a session again, from where it stopped: only what had not finished runs.

        Args:
            session_id: an id, a unique prefix of one, or ``@last``.

        Raises:
            SessionNotFoundError: if there is no such session.
            SessionBusyError: if a live process runs it.
            SessionFinishedError: if it completed or was denied.
            ConfigurationError: if an agent or a function is not configured; nothing was changed.
        """
        name = await trio.to_thread.run_sync(self.store.resolve, session_id)
        file = self.store.file(name)
        opening = await self._journal.call(lambda: begin(file, self._lock, self._check_known))
        if opening.died is not None:
            await kill_marked(opening.died)
        return self._launch(opening)

    def get(self, session_id: str) -> Session:
        """A session of this runtime.

        Raises:
            KeyError: if this runtime does not run it.
        """
        return self.sessions[session_id]

    # --- checks --------------------------------------------------------------------------------------------------

    def _check(self, prepared: Prepared) -> None:
        """Everything a recipe names must be there before anything runs."""
        steps = list(prepared.steps())
        missing = self.agents.missing(agent_names(steps))
        if missing:
            raise ConfigurationError(unanswered(missing))
        problems = [named.check(self.functions, name, self.import_functions) for name in function_names(steps)]
        found = [problem for problem in problems if problem]
        if found:
            raise ConfigurationError("\n".join(found))

    def _check_known(self, progress: Progress) -> None:
        recipes = FrozenRecipes(self.project, progress.recipes)
        subs = {key: recipes.parse(key) for key in progress.recipes if key}
        self._check(Prepared(recipes.root(), subs))

    def _created(self, recipe: Recipe, given: dict[str, Any], parent: str | None) -> SessionCreated:
        return SessionCreated(
            session_id=new_session_id(),
            recipe_name=recipe.name,
            recipe_version=recipe.version,
            recipe_file=recipe.file,
            project_path=self.project,
            context=given,
            parent_session_id=parent,
            recipe_digest=recipe.digest,
        )

    # --- running -------------------------------------------------------------------------------------------------

    def _launch(self, opening: Opening) -> Session:
        log = SessionLog(
            self._journal, opening.file, opening.claim, opening.run, opening.last_seq, opening.connection
        )
        session = Session(opening.file.session_id, self._engine(opening, log), log, self._journal, self._trees)
        if self._observe is not None:
            log.on_commit.append(partial(_tell, self._observe, session.id))
        self.sessions[session.id] = session
        self._nursery.start_soon(session.run, opening.early)
        return session

    def _engine(self, opening: Opening, log: SessionLog) -> Engine:
        progress = opening.progress
        created = progress.created
        assert created is not None
        recipes = FrozenRecipes(created.project_path, progress.recipes, log)
        facts = SessionFacts(created.session_id, iso(progress.created_at), created.project_path)
        driver = Driver(
            session_id=created.session_id,
            project=created.project_path,
            tree=ScopeTree(),
            log=log,
            progress=progress,
            replay=Replay(progress, recipes.known),
            recipes=recipes,
            leaves=self._leaves(),
        )
        return Engine(driver, root_frame(recipes.root(), created.context, facts))

    def _leaves(self) -> dict[str, LeafRunner]:
        return {
            "bash": BashRunner(self._trees),
            "function": FunctionRunner(self.functions, self.import_functions),
            "agent": AgentRunner(self.agents.resolve),
        }


def _tell(observe: Callable[[str, Stamped], None], session_id: str, events: list[Stamped]) -> None:
    for stamped in events:
        observe(session_id, stamped)


@asynccontextmanager
async def open_runtime(
    *,
    store: SqliteStore | str | os.PathLike[str] | None = None,
    agents: Any = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
    import_functions: bool = False,
    project: str | os.PathLike[str] | None = None,
    durability: str = "power",
    observe: Callable[[str, Stamped], None] | None = None,
) -> AsyncIterator[Runtime]:
    """Open a runtime: ``async with open_runtime() as runtime``.

    Leaving normally waits for its sessions; leaving by an exception cancels them immediately.

    Args:
        store: an address or a store; the user's own by default.
        agents: who answers agent steps: a backend, a mapping of names or globs to backends, an agents file, or
            ``"echo"``; without one, what the project's ``trio-recipes.toml`` and the user's configuration say.
        functions: callables that ``function`` steps may name.
        import_functions: allow ``package.module:callable``.
        project: the project's folder; the current one by default.
        durability: ``power``: an fsync per commit; ``process``: survives any crash of the program only.
        observe: called in the loop for each event once it is durable, with the session's id.

    Raises:
        StoreUnusableError: if the store can't be used.
        ConfigurationError: if the agents can't be loaded.
    """
    folder = str(Path(project or Path.cwd()).resolve())
    if store is None or isinstance(store, (str, os.PathLike)):
        url = None if store is None else os.fspath(store)
        store = await trio.to_thread.run_sync(partial(open_store, url, durability=durability))
    known = await trio.to_thread.run_sync(configured_agents, agents, folder)
    lock = RunnerLock(store.layout)
    lock.acquire()
    try:
        async with Journal() as journal, ProcessTrees(lock.runner_id, lock_fd=lock.fd) as trees:
            async with concurrent() as nursery:
                yield Runtime(
                    store, folder, known.attached(trees), functions or {}, import_functions, journal, trees, lock, nursery, observe
                )
    finally:
        lock.release()


async def run_recipe(
    recipe: Recipe | str | os.PathLike[str], context: Mapping[str, Any] | None = None, **options: Any
) -> Mapping[str, Any]:
    """Run one recipe to its end: ``trio.run(run_recipe, "review.yaml")``.

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

