"""What answers the agents of a recipe, or all that are configured, for people: without connecting to anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from attrs import Factory, evolve

from trio_recipes.agents.selection import Option, select
from trio_recipes.classes import frozen
from trio_recipes.errors import ConfigurationError
from trio_recipes.runtime.ports import AgentRequest

if TYPE_CHECKING:
    from trio_recipes.agents.definitions import Definition
    from trio_recipes.agents.provider import Provider
    from trio_recipes.agents.registry import Agents
    from trio_recipes.language.model import AgentStep


@frozen(kw_only=True)
class Seat:
    """Who answers an agent.

    Args:
        agent: its name, or a glob.
        steps: that ask it, with the same wishes.
        provider: who would answer, or None.
        model: which one, perhaps a glob; None leaves it to the backend.
        definition: the file that defines the agent, or None.
        said_in: the file that configures it, or None.
        instead: who is asked if that one can't be reached.
        problem: why nobody can answer, or "".
    """

    agent: str
    steps: tuple[str, ...] = ()
    provider: Provider | None = None
    model: str | None = None
    definition: str | None = None
    said_in: str | None = None
    instead: tuple[str, ...] = Factory(tuple)
    problem: str = ""


def seats_of(steps: Iterable[AgentStep], known: Agents) -> list[Seat]:
    """Who answers the agents of these steps, each agent (with each of its wishes) once."""
    found: dict[tuple[str | None, ...], Seat] = {}
    for step in steps:
        seat = _seat(step, known)
        key = (seat.agent, seat.provider.name if seat.provider else None, seat.model, seat.problem, *seat.instead)
        before = found.get(key, seat).steps
        found[key] = evolve(seat, steps=(*before, step.id) if step.id not in before else before)
    return [*found.values()]


def seats_configured(known: Agents) -> Iterator[Seat]:
    """Who answers the agents that are configured or defined by name, and those that globs stand for."""
    names = dict.fromkeys(name for name, _ in known.all_entries())
    names |= dict.fromkeys(definition.name for definition in _definitions(known))
    for name in names:
        yield _seat(AgentRequest(agent=name, prompt=""), known)


def _definitions(known: Agents) -> Iterator[Definition]:
    for definitions in known.all_definitions():
        yield from definitions.found.values()


def _seat(wanted: AgentStep | AgentRequest, known: Agents) -> Seat:
    name = wanted.agent
    try:
        selection = select(wanted, known)
        definition = known.definition(name)
    except ConfigurationError as error:
        return Seat(agent=name, problem=str(error))
    options = selection.possible or selection.options
    first = options[0] if options else Option("")
    entry = known.entry(name)
    return Seat(
        agent=name,
        provider=first.provider,
        model=first.model,
        definition=definition.file if definition else None,
        said_in=(entry.origin or None) if entry else None,
        instead=tuple(option.name for option in options[1:]),
        problem="" if selection.possible else selection.complaint,
    )
