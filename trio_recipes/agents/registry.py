"""Who may answer agents: what is said of them by name and by glob, the providers, the roles; layer over layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import Factory, evolve, field

from trio_recipes.agents.backends.replay import Recall, ReplayBackend
from trio_recipes.agents.definitions import Definition, Definitions
from trio_recipes.agents.entry import Entry
from trio_recipes.agents.http.connections import Connections, NeedsConnections
from trio_recipes.agents.provider import Provider
from trio_recipes.agents.settings import CHOICE, Settings, settled
from trio_recipes.classes import frozen
from trio_recipes.runtime.ports import AgentBackend

if TYPE_CHECKING:
    from trio_recipes.processes import ProcessTrees
    from trio_recipes.values import Value

PROJECT_FILE = "trio-recipes.toml"
"""Where a project names its agents, in its folder."""

USER_FILE = "trio_recipes/agents.yaml"
"""Where users name theirs, below ``$XDG_CONFIG_HOME`` or ``~/.config``."""

_ADVICE = f"""\
Name a backend for them in {PROJECT_FILE} in the project's folder:
    [agents."*"]
    backend = "command"
    command = ["my-agent", "--quiet"]   # reads the prompt on stdin, prints the answer
or the same in ~/.config/{USER_FILE} or in a file that you give with --agents FILE.
To try the recipe out, `--agents echo` answers each prompt with itself."""


@runtime_checkable
class NeedsTrees(Protocol):
    """A backend that runs programs, and gets the runtime's process trees to do so."""

    def attached(self, trees: ProcessTrees) -> AgentBackend:
        """The same backend, in a runtime whose process trees are ``trees``."""
        ...


def _entries(given: Mapping[str, Entry | AgentBackend]) -> Mapping[str, Entry]:
    return {name: each if isinstance(each, Entry) else Entry(Provider("", each)) for name, each in given.items()}


@frozen
class Agents:
    """What one source says of agents, and the sources that answer where it is silent.

    Args:
        entries: by an agent's name, or a glob (``*``, ``?``, ``[…]``); backends become entries.
        providers: by name.
        roles: preferences by role (``model_role``).
        definitions: agents that Markdown files define.
        trusted: whether the source is the caller's or the user's, rather than the project's.
        fallback: asked where nothing here answers.
    """

    entries: Mapping[str, Entry] = field(factory=dict, converter=_entries)
    providers: Mapping[str, Provider] = Factory(dict)
    roles: Mapping[str, tuple[Mapping[str, Value], ...]] = Factory(dict)
    definitions: Definitions = Factory(Definitions)
    trusted: bool = True
    fallback: Agents | None = None

    # --- what there is -------------------------------------------------------------------------------------------

    def entry(self, name: str) -> Entry | None:
        """All that is said of the agent ``name``, as one; None if nothing answers it.

        What is said of it by its name comes before its definition, and that before what is said by a glob.

        Raises:
            ConfigurationError: its definition can't be read.
        """
        found, by_name = self._said_of(name)
        definition = self.definition(name)
        if found is None and not self.all_providers():
            return None
        entry = found or Entry()
        if definition is None:
            return entry
        own = self._possible(definition.settings)
        settings = settled(own, entry.settings) if by_name else settled(entry.settings, own)
        return evolve(entry, settings=settings)

    def definition(self, name: str) -> Definition | None:
        """The file that defines the agent ``name``, or None.

        Raises:
            ConfigurationError: it can't be read.
        """
        found = (definitions.find(name) for definitions in self.all_definitions())
        return next((definition for definition in found if definition is not None), None)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of ``names`` that nothing answers, each once, in order.

        Raises:
            ConfigurationError: the definition of one of them can't be read.
        """
        return [name for name in dict.fromkeys(names) if self.entry(name) is None]

    def all_providers(self) -> dict[str, Provider]:
        """The providers by name, in order; those that a project names come last, and replace none of the user's."""
        found: dict[str, Provider] = {}
        for layer in sorted(self._layers(), key=lambda layer: not layer.trusted):
            found = {**found, **{name: each for name, each in layer.providers.items() if name not in found}}
        return found

    def role(self, name: str) -> tuple[Mapping[str, Value], ...]:
        """What a role prefers; () if nobody says."""
        return next((layer.roles[name] for layer in self._layers() if name in layer.roles), ())

    def all_entries(self) -> Iterator[tuple[str, Entry]]:
        """Every entry of every source, with its name or glob."""
        for layer in self._layers():
            yield from layer.entries.items()

    def all_definitions(self) -> Iterator[Definitions]:
        """The definitions of every source."""
        return (layer.definitions for layer in self._layers())

    def _layers(self) -> Iterator[Agents]:
        yield self
        if self.fallback is not None:
            yield from self.fallback._layers()

    def _said_of(self, name: str) -> tuple[Entry | None, bool]:
        """The entry that counts, and whether it is one by name; a source's globs go before all of the next source."""
        for layer in self._layers():
            if name in layer.entries:
                return layer.entries[name], True
            globs = sorted(layer.entries, key=lambda glob: glob == "*")
            found = next((glob for glob in globs if fnmatchcase(name, glob)), None)
            if found is not None:
                return layer.entries[found], False
        return None, False

    def _possible(self, settings: Settings) -> Settings:
        """A definition's settings, without a choice among providers that this user doesn't have."""
        known = self.all_providers()
        preferred = settings.get("provider_preferences")
        wishes = [settings, *(preferred if isinstance(preferred, list) else ())]
        named = [each["provider"] for each in wishes if isinstance(each, Mapping) and "provider" in each]
        if not named or any(name in known for name in named):
            return settings
        return {name: value for name, value in settings.items() if name not in CHOICE}

    # --- made of others ------------------------------------------------------------------------------------------

    def over(self, fallback: Agents) -> Agents:
        """These agents; those of ``fallback`` answer what these don't."""
        return evolve(self, fallback=self.fallback.over(fallback) if self.fallback else fallback)

    def attached(self, trees: ProcessTrees) -> Agents:
        """The same agents, in a runtime whose process trees are ``trees``. These here stay as they are."""
        return self._changed(lambda each: each.attached(trees) if isinstance(each, NeedsTrees) else each)

    def connected(self, connections: Connections) -> Agents:
        """The same agents, in a runtime whose connections are ``connections``. These here stay as they are."""
        return self._changed(lambda each: each.connected(connections) if isinstance(each, NeedsConnections) else each)

    def recalled(self, recall: Recall) -> Agents:
        """The same agents, with the recordings of replays read. Blocks.

        Raises:
            RecipesError: a recording can't be read.
        """
        return self._changed(lambda each: each.recalled(recall) if isinstance(each, ReplayBackend) else each)

    def _changed(self, change: Callable[[AgentBackend], AgentBackend]) -> Agents:
        def deep(backend: AgentBackend) -> AgentBackend:
            return change(backend.changed(deep) if isinstance(backend, ReplayBackend) else backend)

        return evolve(
            self,
            entries={name: entry.changed(deep) for name, entry in self.entries.items()},
            providers={name: provider.changed(deep) for name, provider in self.providers.items()},
            fallback=self.fallback._changed(change) if self.fallback else None,
        )


def unanswered(names: Iterable[str]) -> str:
    """The message for a recipe with agents that nothing answers: which, and what to do about it."""
    return f"nothing answers for the agents of this recipe: {', '.join(names)}.\n{_ADVICE}"
