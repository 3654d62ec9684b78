"""What backends that ask a model over HTTP share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from trio_recipes.errors import BackendError, InternalError

if TYPE_CHECKING:
    from trio_recipes.agents.http.connections import Connections
    from trio_recipes.agents.http.settings import ModelSettings
    from trio_recipes.runtime.ports import AgentRequest


REPAIR: Final = (
    "A program reads your answer and found no valid JSON in it. Give the same result again as one valid JSON value, "
    "and nothing else."
)
"""Follows an answer without JSON, in the attempt that is to mend it."""


def connected(connections: Connections | None) -> Connections:
    """The connections of a backend that is part of a runtime.

    Raises:
        InternalError: it is not.
    """
    if connections is None:
        raise InternalError("a backend was asked before it was attached to a runtime's connections")
    return connections


def model_of(request: AgentRequest, settings: ModelSettings, who: str) -> str:
    """The model to ask: the one that the request names, or that of the settings.

    Raises:
        BackendError: neither names one.
    """
    model = request.model or settings.model
    if not model:
        text = f"no model is named for {who}: set `model` in the agents file or on the step"
        raise BackendError(text, retryable=False)
    return model


def turns(request: AgentRequest) -> list[dict[str, str]]:
    """The conversation: the prompt; and if it is to be mended, the answer that could not be read."""
    asked = [{"role": "user", "content": request.prompt}]
    if request.unreadable is None:
        return asked
    return [*asked, {"role": "assistant", "content": request.unreadable}, {"role": "user", "content": REPAIR}]


def read_by_model(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts in a request's body: what the model reads, as far as it is ours."""
    texts = [body.get("system"), *(message.get("content") for message in body.get("messages") or ())]
    return tuple(text for text in texts if isinstance(text, str))


def names_of(document: Any, who: str) -> tuple[str, ...]:
    """The names in a list of models, in order.

    Raises:
        BackendError: it is no such list.
    """
    entries = document.get("data") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise BackendError(f"{who} answers with no list of models; check `base_url`", retryable=False)
    return tuple(entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str))
