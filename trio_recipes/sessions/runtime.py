"""A runtime: one runner, its journal, its process trees, and the sessions that it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from attrs import field

from trio_recipes.agents.prices import Prices
from trio_recipes.agents.registry import Agents
from trio_recipes.agents.resolver import Resolver
from trio_recipes.classes import define
from trio_recipes.events import Source
from trio_recipes.language.model import Limits, Recipe
from trio_recipes.processes.sweep import kill_marked
from trio_recipes.processes.trees import ProcessTrees
from trio_recipes.progress.masked import shown
from trio_recipes.progress.vault import Vault
from trio_recipes.sessions.assembly import Equipment, Terms
from trio_recipes.sessions.by_id import ById
from trio_recipes.sessions.checking import Supplies
from trio_recipes.sessions.creation import created_event
from trio_recipes.sessions.recipes import prepare
from trio_recipes.sessions.secrets import MaskedLog
from trio_recipes.sessions.session import Session
from trio_recipes.sessions.sources import Sources
from trio_recipes.steps.apart import Apart
from trio_recipes.store.journal import Journal, SessionLog
from trio_recipes.store.owner import RunnerLock
from trio_recipes.store.runs import Opening, begin, create
from trio_recipes.values import normalise

if TYPE_CHECKING:
    from trio_recipes.events import Stamped
    from trio_recipes.progress.plan import Plan
    from trio_recipes.sessions.result import SessionResult
    from trio_recipes.sessions.revising import Source as RecipeSource


@define(eq=False)
class Runtime(ById):
    """Runs sessions. Made by :func:`~trio_recipes.sessions.opening.open_runtime`.

    Args:
        project: the project's folder: where commands run, unless they say otherwise.
        agents: who answers agent steps.
        resolver: chooses among them.
        functions: callables by name.
        sources: where recipes may come from, and what they may do.
        apart: runs functions and backends, which may resist a stop.
        prices: what models charge.
        stays_at_gates: whether sessions wait at approval gates rather than pause there.
    """

    project: str
    agents: Agents
    resolver: Resolver
    functions: Mapping[str, Callable[..., Any]]
    sources: Sources
    apart: Apart
    prices: Prices
    _journal: Journal = field(alias="journal")
    _trees: ProcessTrees = field(alias="trees")
    _lock: RunnerLock = field(alias="lock")
    _nursery: trio.Nursery = field(alias="nursery")
    _observe: Callable[[str, Stamped], None] | None = field(default=None, alias="observe")
    stays_at_gates: bool = False

    def __repr__(self) -> str:
        """For people: what it is made of is large, and knows secrets."""
        return f"<Runtime of {self.project}: {len(self._running)} sessions>"

    async def start(
        self,
        recipe: Recipe | str | os.PathLike[str],
        context: Mapping[str, Any] | None = None,
        *,
        parent_session_id: str | None = None,
        limits: Limits | None = None,
    ) -> Session:
        """Check a recipe, make a session durable, and begin to run it.

        Args:
            recipe: a file, or a recipe that was loaded before.
            context: variables over the recipe's own.
            parent_session_id: links sessions that were started separately.
            limits: what it may take, instead of what the recipe says; a field that is None leaves that as it is.

        Raises:
            InvalidRecipeError: with every problem of the recipe and those it names; nothing was created.
            ConfigurationError: if an agent or a function is not configured, or a secret has no value; nothing was
                created.
            ValueRefusedError: if ``context`` holds what JSON can't; nothing was created.
            StoreError: if the session can't be made durable.
        """
        given = normalise(dict(context or {}), "context")
        assert isinstance(given, dict)
        source = recipe if isinstance(recipe, Recipe) else Path(recipe)
        prepared = await trio.to_thread.run_sync(prepare, source, given, self.project, self.sources)
        self._supplies.check(prepared, given, self.project)
        created = created_event(prepared, self.project, given, parent_session_id)
        file = self.store.file(created.session_id)
        await trio.lowlevel.checkpoint_if_cancelled()  # the last moment at which nothing has been made
        opening = await self._journal.call(lambda: create(file, created, prepared.frozen(), self._lock))
        assert opening is not None
        return self._launch(opening, Terms(limits or Limits(), given))

    async def resume(
        self,
        session_id: str,
        *,
        recipe: RecipeSource | None = None,
        context: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        secrets: Mapping[str, Any] | None = None,
    ) -> Session:
        """Run a session again, from where it stopped: only what had not finished runs.

        Args:
            session_id: an id, a unique prefix of one, or ``@last``.
            recipe: goes on with this one: what is different in it, and what follows from that, runs again.
            context: variables over those that the session has; steps that refer to one that changes, and what follows
                from them, run again.
            limits: what it may take: ``deadline`` counts from now, the others over all runs; a field that is None
                leaves what the recipe says, and what is left of its deadline.
            secrets: the values of the recipe's secrets, which no record holds; else they come from the environment.

        Raises:
            SessionNotFoundError: if there is no such session.
            SessionBusyError: if a live process runs it.
            SessionFinishedError: if it completed or was denied.
            InvalidRecipeError: with every problem of the new recipe and those it names; nothing was changed.
            ConfigurationError: if an agent or a function is not configured, or a secret has no value; nothing was
                changed.
        """
        given = normalise(dict(secrets or {}), "secrets")
        assert isinstance(given, dict)
        name = await trio.to_thread.run_sync(self.store.resolve, session_id)
        file = self.store.file(name)
        revision = None
        if recipe is not None or context:
            from trio_recipes.sessions.revising import revision_of  # noqa: PLC0415  not for a first run

            revision = await trio.to_thread.run_sync(revision_of, file, self.sources, recipe, context)
            given |= revision.secrets
        await trio.lowlevel.checkpoint_if_cancelled()
        revise = revision.events if revision else None
        check = partial(self._supplies.check_known, given)
        opening = await self._journal.call(lambda: begin(file, self._lock, check, revise=revise))
        return await self._take_over(opening, Terms(limits or Limits(), given))

    async def resume_from(
        self,
        session_id: str,
        path: str,
        *,
        recipe: RecipeSource | None = None,
        context: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> Session:
        """Run ``path`` and everything after it again, in a new session that is linked to the old one.

        The new session takes over what stands before ``path``, in document order; the old one may have completed, and
        stays as it is.

        Args:
            session_id: an id, a unique prefix of one, or ``@last``.
            path: a scope of the session.
            recipe: as for :meth:`resume`.
            context: as for :meth:`resume`.
            limits: what it may take, instead of what the recipe says; a field that is None leaves that as it is.

        Raises:
            UnknownScopeError: if the session can have no such scope, or has finished without coming to it.
            RecipesError: what :meth:`resume` raises; nothing was created.
        """
        name = await trio.to_thread.run_sync(self.store.resolve, session_id)
        file = self.store.file(name)
        from trio_recipes.sessions.revising import branch_off  # noqa: PLC0415  not for a first run

        branch = await trio.to_thread.run_sync(branch_off, file, self.sources, path, recipe, context)
        self._supplies.check_known(branch.secrets, branch.progress)
        file = self.store.file(branch.created.session_id)
        await trio.lowlevel.checkpoint_if_cancelled()
        opening = await self._journal.call(
            lambda: create(file, branch.created, branch.recipes, self._lock, branch.carried)
        )
        assert opening is not None
        return self._launch(opening, Terms(limits or Limits(), branch.secrets))

    async def plan(
        self,
        session_id: str,
        *,
        path: str | None = None,
        recipe: RecipeSource | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Plan:
        """What :meth:`resume` (with ``path``: :meth:`resume_from`) would do, scope by scope; nothing is changed.

        Args:
            session_id: an id, or its first letters.
            path: where :meth:`resume_from` would begin.
            recipe: the recipe to go on with, as for these.
            context: variables to set, as for these.

        Raises:
            RecipesError: what these would raise before anything runs, but for what is not configured.
        """
        name = await trio.to_thread.run_sync(self.store.resolve, session_id)
        from trio_recipes.sessions.revising import plan_resume  # noqa: PLC0415  not for a first run

        return await trio.to_thread.run_sync(plan_resume, self.store.file(name), self.sources, recipe, context, path)

    async def finish(self, session_id: str) -> Session:
        """End a session that was cancelled or denied while nobody ran it: its ``finally`` steps run, nothing else.

        Args:
            session_id: its whole id.

        Raises as :meth:`resume` does.
        """
        file = self.store.file(session_id)
        opening = await self._journal.call(lambda: begin(file, self._lock, lambda _: None, finishing=True))
        return await self._take_over(opening, Terms(finishing=True))

    async def _take_over(self, opening: Opening, terms: Terms) -> Session:
        if opening.died is not None:
            await kill_marked(opening.died)
        return self._launch(opening, terms)

    def cancel_all(self, reason: str, *, source: Source = Source.HOST) -> None:
        """Stop every session of this runtime at once.

        Args:
            reason: why, for those who look later.
            source: by which door that came.
        """
        for session in self._unended():
            session.cancel(reason, immediate=True, source=source)

    async def drain(self, grace: float | None = None) -> Sequence[SessionResult]:
        """Stop every session gracefully, immediately after ``grace`` seconds, and wait until all have ended.

        Returns:
            How those ended that ran when it was called.
        """
        draining = self._unended()
        for session in draining:
            session.cancel("the runtime is being drained", grace=grace, source=Source.SHUTDOWN)
        return [await session.wait() for session in draining]

    def _unended(self) -> Sequence[Session]:
        """Those that have not ended: a session that is paused stays as it is when its runtime goes."""
        return [session for session in self._running.values() if session.result is None]

    @property
    def _supplies(self) -> Supplies:
        return Supplies(self.agents, self.resolver, self.functions, self.sources.policy)

    # --- running -------------------------------------------------------------------------------------------------

    def _launch(self, opening: Opening, terms: Terms) -> Session:
        log = SessionLog(self._journal, opening.file, opening.claim, opening.run, opening.last_seq, opening.connection)
        masked = MaskedLog(log, Vault(os.environ.get))
        engine = self._equipment.engine(opening, log, masked, terms)
        session = Session(opening.file.session_id, engine, log, self._journal, self._trees, masked)
        if self._observe is not None:
            log.on_commit.append(partial(_tell, self._observe, session.id))
        self._running[session.id] = session
        self._nursery.start_soon(self._run, session, opening)
        return session

    async def _run(self, session: Session, opening: Opening) -> None:
        """Run a session, and know it from then on only as long as somebody else does."""
        try:
            await session.run(opening.early)
        finally:
            if self._running.get(session.id) is session:
                del self._running[session.id]
                self._held[session.id] = session

    @property
    def _equipment(self) -> Equipment:
        return Equipment(
            agents=self.agents,
            resolver=self.resolver,
            functions=self.functions,
            sources=self.sources,
            apart=self.apart,
            prices=self.prices,
            journal=self._journal,
            trees=self._trees,
            stays_at_gates=self.stays_at_gates,
        )


def _tell(observe: Callable[[str, Stamped], None], session_id: str, events: list[Stamped]) -> None:
    for stamped in events:
        observe(session_id, shown(stamped))
