"""Who answers a request: the first option that is available, its model settled, its backend told what the agent is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import trio
from attrs import evolve, field

from trio_recipes.agents.provider import Provider, best_match, is_glob
from trio_recipes.agents.registry import Agents, unanswered
from trio_recipes.agents.selection import Option, Selection, select
from trio_recipes.agents.settings import Settings
from trio_recipes.classes import define
from trio_recipes.errors import BackendError, ConfigurationError
from trio_recipes.language.wording import kind_of, shown
from trio_recipes.runtime.ports import Choice, ListsModels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_recipes.agents.http.settings import ModelSettings
    from trio_recipes.language.model import AgentStep
    from trio_recipes.runtime.ports import AgentBackend, AgentRequest

PATIENCE: Final = 10.0
"""Seconds in which a provider says which models it has; one that doesn't is not available."""

FRESH: Final = 60.0
"""Seconds for which a list of models counts."""

FAILED: Final = 10.0
"""Seconds for which a provider that could not be reached counts as such."""


NO_LIST: Final = (404, 405, 501)
"""HTTP statuses of endpoints that answer and keep no list of their models."""


class Resolver(Protocol):
    """Chooses who answers agent steps. An application may replace it (``open_runtime(resolver=…)``)."""

    def problems(self, steps: Iterable[AgentStep], known: Agents) -> Sequence[str]:
        """Why steps can't be answered, as far as that shows before anything runs; connects to nothing.

        Args:
            steps: all agent steps of a recipe and its sub-recipes.
            known: the agents and providers that are configured.
        """
        ...

    async def resolve(self, request: AgentRequest, known: Agents) -> Choice:
        """Choose. Called under the step's scope, before each attempt; cancelled, it ends at once.

        Args:
            request: as the step has it.
            known: the agents and providers that are configured.

        Raises:
            BackendError: nobody who may answer it is available.
            ConfigurationError: nobody may answer it.
        """
        ...


@define(eq=False)
class StandardResolver:
    """Follows the rules of the language (:mod:`trio_recipes.agents.selection`).

    A provider is only asked for its models where that matters: for a glob, where there is another option, and where no
    model is named and it may have only one.
    """

    _catalogues: dict[tuple[str, str], Catalogue] = field(factory=dict, init=False)

    def problems(self, steps: Iterable[AgentStep], known: Agents) -> Sequence[str]:
        """Agents that nothing answers, and steps whose options are all known not to be available."""
        asking = list(steps)
        missing = set(known.missing(step.agent for step in asking))
        found = [unanswered(sorted(missing))] if missing else []
        complaints = (_complaint(step, known) for step in asking if step.agent not in missing)
        return [*found, *dict.fromkeys(complaint for complaint in complaints if complaint)]

    async def resolve(self, request: AgentRequest, known: Agents) -> Choice:
        """Choose the first option that is available.

        Args:
            request: as the step has it.
            known: the agents and providers that are configured.

        Raises:
            BackendError: no option is available.
            ConfigurationError: there is none.
        """
        selection = select(request, known)
        possible = selection.possible
        failures: dict[str, BackendError] = {}
        for option in possible:
            assert option.provider is not None
            try:
                model = await self._model(option, option.provider, is_only=len(possible) == 1)
            except BackendError as error:
                failures[option.name] = error
            else:
                return chosen(request, option.provider, model, selection.settings)
        raise unavailable(selection, failures)

    async def _model(self, option: Option, provider: Provider, *, is_only: bool) -> str | None:
        wish = option.model
        if not isinstance(provider.backend, ListsModels) or (is_only and wish and not is_glob(wish)):
            return wish
        catalogue = self._catalogues.setdefault((provider.name, provider.target), Catalogue())
        try:
            offered = await catalogue.models(provider.backend)
        except BackendError as error:
            if getattr(error.__cause__, "status", None) not in NO_LIST:
                raise
            offered = ()
        if wish is None and len(offered) == 1:
            return offered[0]
        return best_match(wish, offered) if wish else wish


@define(eq=False)
class Catalogue:
    """The models of one endpoint, asked for once by all who want to know, and kept for a while."""

    _asking: trio.Lock = field(factory=trio.Lock, init=False)
    _until: float = field(default=-1.0, init=False)
    _models: tuple[str, ...] = field(default=(), init=False)
    _error: BackendError | None = field(default=None, init=False)

    async def models(self, backend: ListsModels) -> Sequence[str]:
        """The names of the models.

        Raises:
            BackendError: the endpoint can't be reached, or refuses the key.
        """
        async with self._asking:
            if trio.current_time() >= self._until:
                await self._ask(backend)
        if self._error is not None:
            raise BackendError(str(self._error), retryable=self._error.retryable) from self._error
        return self._models

    async def _ask(self, backend: ListsModels) -> None:
        error: BackendError | None = BackendError(f"does not say within {PATIENCE:g} s which models it has")
        models: Sequence[str] = ()
        with trio.move_on_after(PATIENCE):
            try:
                models, error = await backend.models(), None
            except BackendError as refused:
                error = refused
        self._models, self._error = tuple(models), error
        self._until = trio.current_time() + (FAILED if error else FRESH)


def chosen(request: AgentRequest, provider: Provider, model: str | None, settings: Settings) -> Choice:
    """The choice of a provider and a model.

    Raises:
        ConfigurationError: a setting is of a type that no model takes.
    """
    name = provider.name or request.provider
    settled = evolve(request, provider=name, model=model, agent_config=settings)
    return Choice(told(provider.backend, settings, f"agent {request.agent!r}"), settled)


def _complaint(step: AgentStep, known: Agents) -> str | None:
    selection = select(step, known)
    return None if selection.possible else f"step '{step.id}': agent {step.agent!r}: {unavailable(selection)}"


def unavailable(selection: Selection, failures: Mapping[str, BackendError] = MappingProxyType({})) -> BackendError:
    """The failure of a step that nobody who may answer it can.

    Args:
        selection: the options that there were.
        failures: why those that nothing was known against could not be reached.
    """
    reasons = [selection.complaint, *(f"{name}: {error}" for name, error in failures.items())]
    why = "; ".join(reason for reason in reasons if reason)
    may_pass = any(error.retryable for error in failures.values())
    return BackendError(f"nobody who may answer is available ({why})", retryable=may_pass)


# --- settings of models ------------------------------------------------------------------------------------------


@runtime_checkable
class _HasSettings(Protocol):
    """A backend that has to be told before what its model is told."""

    settings: ModelSettings


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {"system": (str,), "temperature": (int, float), "max_tokens": (int,)}


def told(backend: AgentBackend, settings: Settings, whose: str) -> AgentBackend:
    """The backend, with the settings that models take. Tools are not among them: a model's answer is all it gives.

    Raises:
        ConfigurationError: a setting is of a type that no model takes.
    """
    if not isinstance(backend, _HasSettings):
        return backend
    given: dict[str, Any] = {}
    for name, types in _TYPES.items():
        value = settings.get(name)
        if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
            raise ConfigurationError(f"{whose}: {name} can't be {kind_of(value)} ({shown(value)})")
        given |= {name: value} if value is not None else {}
    changed: AgentBackend = evolve(backend, settings=evolve(backend.settings, **given))  # type: ignore[misc]
    return changed
