"""Which backend answers which agent: names and globs, in order, layer over layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import Factory, evolve, frozen

from trio_recipes.runtime.ports import AgentBackend

if TYPE_CHECKING:
    from trio_recipes.processes import ProcessTrees

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


@frozen
class Agents:
    """The backends there are, by name or glob.

    Args:
        backends: an agent's exact name is looked for first; then globs (``*``, ``?``, ``[…]``) in order, ``*`` last.
        fallback: asked for agents that nothing here answers.
    """

    backends: Mapping[str, AgentBackend] = Factory(dict)
    fallback: Agents | None = None

    def resolve(self, name: str) -> AgentBackend | None:
        """The backend that answers for the agent ``name``, or None."""
        if name in self.backends:
            return self.backends[name]
        globs = sorted(self.backends, key=lambda glob: glob == "*")
        found = next((glob for glob in globs if fnmatchcase(name, glob)), None)
        if found is not None:
            return self.backends[found]
        return self.fallback.resolve(name) if self.fallback else None

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of ``names`` that nothing answers, each once, in order."""
        return [name for name in dict.fromkeys(names) if self.resolve(name) is None]

    def over(self, fallback: Agents) -> Agents:
        """These agents; those of ``fallback`` answer what these don't."""
        return evolve(self, fallback=self.fallback.over(fallback) if self.fallback else fallback)

    def attached(self, trees: ProcessTrees) -> Agents:
        """The same agents, in a runtime whose process trees are ``trees``. These here stay as they are."""
        backends = {name: _attached(backend, trees) for name, backend in self.backends.items()}
        return Agents(backends, self.fallback.attached(trees) if self.fallback else None)


def _attached(backend: AgentBackend, trees: ProcessTrees) -> AgentBackend:
    return backend.attached(trees) if isinstance(backend, NeedsTrees) else backend


def unanswered(names: Iterable[str]) -> str:
    """The message for a recipe with agents that nothing answers: which, and what to do about it."""
    return f"nothing answers for the agents of this recipe: {', '.join(names)}.\n{_ADVICE}"
