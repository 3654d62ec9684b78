"""Events without secrets: as the runner records them, and as everybody shows them.

What a step puts out is recorded as it came, since resume needs it, with a note of where secrets stand in it: so whoever
reads the record can hide them without knowing them. All other texts are recorded without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

from trio_recipes.events import (
    AgentAsked,
    ApprovalRequested,
    Cancellation,
    Event,
    Holdout,
    Output,
    Resisted,
    RunEnded,
    ScopeFinished,
    Stamped,
    Warned,
)
from trio_recipes.failure import Failure
from trio_recipes.masking import hide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeVar

    from trio_recipes.masking import Mask

    AnEvent = TypeVar("AnEvent", bound=Event)

_TEXTS: Final[Mapping[type, tuple[str, ...]]] = {
    ApprovalRequested: ("prompt",),
    Cancellation: ("reason", "requester"),
    Failure: ("message", "hint"),
    Holdout: ("what",),
    Resisted: ("what",),
    Warned: ("message",),
}
"""What was written for people. Paths, names and keys stay as they are: records are found by them."""


def masked(event: AnEvent, mask: Mask) -> AnEvent:
    """An event as it may be recorded: the texts in it without secrets, a result with a form to be shown beside it."""
    changes = _texts(event, mask)
    for name in ("failure", "cancellation"):
        part = getattr(event, name, None)
        if part is not None:
            changes[name] = evolve(part, **_texts(part, mask))
    if isinstance(event, AgentAsked):
        changes["data"] = mask.data(event.data)
    if isinstance(event, RunEnded):
        changes["still_running"] = tuple(evolve(held, **_texts(held, mask)) for held in event.still_running)
    if isinstance(event, ScopeFinished) and mask.value(event.value) != event.value:
        changes["shown"] = mask.value(event.value)
    return evolve(event, **changes) if changes else event


def _texts(holder: object, mask: Mask) -> dict[str, Any]:
    return {name: mask.text(getattr(holder, name)) for name in _TEXTS.get(type(holder), ())}


def shown(stamped: Stamped) -> Stamped:
    """An event from the record as anybody may see it."""
    event = stamped.event
    if isinstance(event, Output) and event.secrets:
        event = evolve(event, data=hide(event.data, event.secrets), secrets=())
    elif isinstance(event, ScopeFinished) and event.shown is not None:
        event = evolve(event, value=event.shown, shown=None)
    return stamped if event is stamped.event else evolve(stamped, event=event)
