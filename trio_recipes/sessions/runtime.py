"""A runtime: one runner, its journal, its process trees, and the sessions that it runs."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, evolve, field

from trio_recipes.agents.registry import Agents
from trio_recipes.events import Cancellation, Level, Source
from trio_recipes.language.model import Recipe
from trio_recipes.processes.sweep import kill_marked
from trio_recipes.processes.trees import ProcessTrees
from trio_recipes.progress.frame import SessionFacts, root_frame
from trio_recipes.progress.masked import shown
from trio_recipes.progress.replay import Replay
from trio_recipes.progress.times import iso
from trio_recipes.progress.vault import Vault
from trio_recipes.runtime.context import RunContext
from trio_recipes.runtime.drive import Driver
from trio_recipes.runtime.engine import Engine
from trio_recipes.runtime.gates import Gatekeeper
from trio_recipes.runtime.limits import Pacer
from trio_recipes.runtime.scope import ScopeTree
from trio_recipes.sessions.checking import Supplies
from trio_recipes.sessions.creation import created_event
from trio_recipes.sessions.recipes import FrozenRecipes, prepare
from trio_recipes.sessions.requesting import lapse, request, settle
from trio_recipes.sessions.revising import Source as RecipeSource
from trio_recipes.sessions.revising import branch_off, plan_resume, revision_of
from trio_recipes.sessions.secrets import MaskedLog, restored
from trio_recipes.sessions.session import Session
from trio_recipes.sessions.sources import Sources
from trio_recipes.steps.agent import AgentRunner
from trio_recipes.steps.bash import BashRunner
from trio_recipes.steps.function import FunctionRunner
from trio_recipes.store.codec import cancellation_to_json
from trio_recipes.store.journal import Journal, SessionLog
from trio_recipes.store.owner import RunnerLock
from trio_recipes.store.runs import Opening, begin, create
from trio_recipes.store.session_file import now
from trio_recipes.values import normalise

if TYPE_CHECKING:
    from trio_recipes.errors import StoreError
    from trio_recipes.events import Stamped
    from trio_recipes.progress.plan import Plan
    from trio_recipes.progress.standing import Standing
    from trio_recipes.runtime.ports import LeafRunner
    from trio_recipes.sessions.result import SessionResult
    from trio_recipes.store.sqlite import SqliteStore
    from trio_recipes.values import Variables


@define(eq=False)
class Runtime:
    """Runs sessions. Made by :func:`~trio_recipes.sessions.opening.open_runtime`.

    Args:
        store: where sessions live.
        project: the project's folder: where commands run, unless they say otherwise.
        agents: who answers agent steps.
        functions: callables by name.
        sources: where recipes may come from, and what they may do.
        stays_at_gates: whether sessions wait at approval gates rather than pause there.
        sessions: those of this runtime, by id.
    """

    store: SqliteStore
    project: str
    agents: Agents
    functions: Mapping[str, Callable[..., Any]]
    sources: Sources
    _journal: Journal = field(alias="journal")
    _trees: ProcessTrees = field(alias="trees")
    _lock: RunnerLock = field(alias="lock")
    _nursery: trio.Nursery = field(alias="nursery")
    _observe: Callable[[str, Stamped], None] | None = field(default=None, alias="observe")
    stays_at_gates: bool = False
    sessions: dict[str, Session] = field(factory=dict)
    _token: trio.lowlevel.TrioToken = field(factory=trio.lowlevel.current_trio_token)

    async def start(
        self,
        recipe: Recipe | str | os.PathLike[str],
        context: Mapping[str, Any] | None = None,
        *,
        parent_session_id: str | None = None,
        deadline: float | None = None,
    ) -> Session:
        """Check a recipe, make a session durable, and begin to run it.

        Args:
            recipe: a file, or a recipe that was loaded before.
            context: variables over the recipe's own.
            parent_session_id: links sessions that were started separately.
            deadline: seconds it may run, instead of the recipe's ``limits.deadline``.

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
        return self._launch(opening, deadline=deadline, secrets=given)

    async def resume(
        self,
        session_id: str,
        *,
        recipe: RecipeSource | None = None,
        context: Mapping[str, Any] | None = None,
        deadline: float | None = None,
        secrets: Mapping[str, Any] | None = None,
    ) -> Session:
        """Run a session again, from where it stopped: only what had not finished runs.

        Args:
            session_id: an id, a unique prefix of one, or ``@last``.
            recipe: goes on with this one: what is different in it, and what follows from that, runs again.
            context: variables over those that the session has; steps that refer to one that changes, and what follows
                from them, run again.
            deadline: seconds that this run may take, instead of what is left of the recipe's ``limits.deadline``.
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
            revision = await trio.to_thread.run_sync(revision_of, file, self.sources, recipe, context)
            given |= revision.secrets
        await trio.lowlevel.checkpoint_if_cancelled()
        revise = revision.events if revision else None
        check = partial(self._supplies.check_known, given)
        opening = await self._journal.call(lambda: begin(file, self._lock, check, revise=revise))
        return await self._take_over(opening, deadline=deadline, secrets=given)

    async def resume_from(
        self,
        session_id: str,
        path: str,
        *,
        recipe: RecipeSource | None = None,
        context: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> Session:
        """Run ``path`` and everything after it again, in a new session that is linked to the old one.

        The new session takes over what stands before ``path``, in document order; the old one may have completed, and
        stays as it is.

        Args:
            session_id: an id, a unique prefix of one, or ``@last``.
            path: a scope of the session.
            recipe: as for :meth:`resume`.
            context: as for :meth:`resume`.
            deadline: seconds it may run, instead of the recipe's ``limits.deadline``.

        Raises:
            UnknownScopeError: if the session can have no such scope, or has finished without coming to it.
            RecipesError: what :meth:`resume` raises; nothing was created.
        """
        name = await trio.to_thread.run_sync(self.store.resolve, session_id)
        file = self.store.file(name)
        branch = await trio.to_thread.run_sync(branch_off, file, self.sources, path, recipe, context)
        self._supplies.check_known(branch.secrets, branch.progress)
        file = self.store.file(branch.created.session_id)
        await trio.lowlevel.checkpoint_if_cancelled()
        opening = await self._journal.call(
            lambda: create(file, branch.created, branch.recipes, self._lock, branch.carried)
        )
        assert opening is not None
        return self._launch(opening, deadline=deadline, secrets=branch.secrets)

    async def plan(
        self,
        session_id: str,
        *,
        path: str | None = None,
        recipe: RecipeSource | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Plan:
        """What :meth:`resume` (with ``path``: :meth:`resume_from`) would do, scope by scope; nothing is changed.

        Raises:
            RecipesError: what these would raise before anything runs, but for what is not configured.
        """
        name = await trio.to_thread.run_sync(self.store.resolve, session_id)
        return await trio.to_thread.run_sync(plan_resume, self.store.file(name), self.sources, recipe, context, path)

    async def finish(self, session_id: str) -> Session:
        """End a session that was cancelled or denied while nobody ran it: its ``finally`` steps run, nothing else.

        Raises as :meth:`resume` does.
        """
        file = self.store.file(session_id)
        opening = await self._journal.call(lambda: begin(file, self._lock, lambda _: None, finishing=True))
        return await self._take_over(opening, finishing=True)

    async def _take_over(self, opening: Opening, **options: Any) -> Session:
        if opening.died is not None:
            await kill_marked(opening.died)
        return self._launch(opening, **options)

    def get(self, session_id: str) -> Session:
        """A session of this runtime.

        Raises:
            KeyError: if this runtime does not run it.
        """
        return self.sessions[session_id]

    async def list(self) -> Sequence[tuple[str, Standing | StoreError]]:
        """All sessions of the store, newest first, with where each stands (or why it can't be read)."""
        return await trio.to_thread.run_sync(lambda: [*self.store.standings()])

    async def cancel(
        self, session_id: str, reason: str = "", *, immediate: bool = False, at: str = "", grace: float | None = None
    ) -> bool:
        """Ask any session of the store to stop, run here or elsewhere; returns whether that was accepted, durably.

        Raises:
            SessionNotFoundError: if there is no such session.
        """
        name = await trio.to_thread.run_sync(self.store.resolve, session_id)
        session = self.sessions.get(name)
        if session is not None and session.result is None:
            reply = session.cancel(reason, immediate=immediate, at=at, grace=grace)
            await reply.durable()
            return reply.accepted
        level = Level.IMMEDIATE if immediate else Level.GRACEFUL
        asked = Cancellation(
            level, requester=f"pid {os.getpid()}", reason=reason[:512], requested_at=now(), at=at, grace=grace
        )
        body = cancellation_to_json(evolve(asked, request_id=secrets.token_hex(8)))
        ack = await trio.to_thread.run_sync(partial(request, self.store.file(name), body, escalates=False))
        return ack.accepted

    async def approve(self, session_id: str, stage: str, message: str = "", *, by: str = "", via: str = "api") -> None:
        """Approve a gate of any session of the store; one that is paused goes on when it is resumed.

        Raises:
            SessionNotFoundError: if there is no such session.
            SessionError: if no such gate waits, or it is too late.
        """
        await self._decide(session_id, stage, approved=True, by=by, via=via, message=message)

    async def deny(self, session_id: str, stage: str, reason: str = "", *, by: str = "", via: str = "api") -> None:
        """Deny a gate: that is final for its session. Raises as :meth:`approve` does."""
        await self._decide(session_id, stage, approved=False, by=by, via=via, message=reason)

    async def _decide(self, session_id: str, stage: str, **decision: Any) -> None:
        name = await trio.to_thread.run_sync(self.store.resolve, session_id)
        await trio.to_thread.run_sync(partial(settle, self.store.file(name), stage, **decision))

    def cancel_from_thread(self, session_id: str, reason: str = "", *, immediate: bool = False) -> None:
        """Ask a session of this runtime to stop, from any thread."""
        session = self.sessions[session_id]
        self._token.run_sync_soon(partial(session.cancel, reason, immediate=immediate))

    def cancel_all(self, reason: str, *, source: Source = Source.HOST) -> None:
        """Stop every session of this runtime at once."""
        for session in self._running():
            session.cancel(reason, immediate=True, source=source)

    async def drain(self, grace: float | None = None) -> Sequence[SessionResult]:
        """Stop every session gracefully, immediately after ``grace`` seconds, and wait until all have ended."""
        for session in self._running():
            session.cancel("the runtime is being drained", grace=grace, source=Source.SHUTDOWN)
        return [await session.wait() for session in [*self.sessions.values()]]

    def _running(self) -> Sequence[Session]:
        """Those that have not ended: a session that is paused stays as it is when its runtime goes."""
        return [session for session in self.sessions.values() if session.result is None]

    @property
    def _supplies(self) -> Supplies:
        return Supplies(self.agents, self.functions, self.sources.policy)

    # --- running -------------------------------------------------------------------------------------------------

    def _launch(
        self,
        opening: Opening,
        *,
        finishing: bool = False,
        deadline: float | None = None,
        secrets: Variables = MappingProxyType({}),
    ) -> Session:
        log = SessionLog(self._journal, opening.file, opening.claim, opening.run, opening.last_seq, opening.connection)
        masked = MaskedLog(log, Vault(os.environ.get))
        engine = self._engine(opening, log, masked, finishing, deadline, secrets)
        session = Session(opening.file.session_id, engine, log, self._journal, self._trees, masked)
        if self._observe is not None:
            log.on_commit.append(partial(_tell, self._observe, session.id))
        self.sessions[session.id] = session
        self._nursery.start_soon(session.run, opening.early)
        return session

    def _engine(
        self,
        opening: Opening,
        log: SessionLog,
        masked: MaskedLog,
        finishing: bool,
        deadline: float | None,
        secrets: Variables,
    ) -> Engine:
        progress = opening.progress
        created = progress.created
        assert created is not None
        recipes = FrozenRecipes(created.project_path, progress.recipes, log, self.sources)
        facts = SessionFacts(created.session_id, iso(progress.created_at), created.project_path, masked.vault)
        recipe = recipes.root()
        frame = root_frame(recipe, restored(recipe, created.context, secrets), facts)
        rules = recipe.rate_limiting
        if deadline is None and recipe.limits.deadline is not None:
            deadline = recipe.limits.deadline - progress.ran / 1_000_000
        run = RunContext(
            session_id=created.session_id,
            project=created.project_path,
            tree=ScopeTree(),
            log=masked,
            progress=progress,
            replay=Replay(progress, recipes.known),
            recipes=recipes,
            leaves=self._leaves(),
            gates=self._gatekeeper(opening, log, finishing),
            finishing=finishing,
            cleans_up=created.cleans_up,
            pacer=Pacer.of(rules) if rules else None,
        )
        return Engine(Driver(run), frame, None if finishing else deadline)

    def _gatekeeper(self, opening: Opening, log: SessionLog, finishing: bool) -> Gatekeeper:
        async def decide_defaults() -> None:
            await self._journal.call(partial(lapse, opening.file))
            log.poke()

        return Gatekeeper(opening.progress, log, self.stays_at_gates, not finishing, decide_defaults)

    def _leaves(self) -> dict[str, LeafRunner]:
        policy = self.sources.policy
        return {
            "bash": BashRunner(self._trees, inherit_env=policy.inherit_env),
            "function": FunctionRunner(self.functions, policy.imports_functions),
            "agent": AgentRunner(self.agents.resolve),
        }


def _tell(observe: Callable[[str, Stamped], None], session_id: str, events: list[Stamped]) -> None:
    for stamped in events:
        observe(session_id, shown(stamped))
