"""What a model is told besides the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory

from trio_recipes.classes import frozen


@frozen(kw_only=True)
class ModelSettings:
    """What a model is told besides the prompt; what is None is left to the endpoint.

    Whoever chooses the backend for a request sets here what the agent's definition and the step say.

    Args:
        model: the model's exact name, unless the request names one.
        system: the system prompt.
        temperature: as the endpoint understands it.
        max_tokens: of the answer. An answer that is cut off there is complete as asked; one that is cut off although
            nobody asked for that is a failure.
        structured: whether the endpoint is held to JSON where a step has ``parse_json``, if it can be.
        extra: further fields of the request's body, as the API has them; they win over all others.
    """

    model: str | None = None
    system: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    structured: bool = True
    extra: Mapping[str, Any] = Factory(dict)
