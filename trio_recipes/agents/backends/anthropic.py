"""A backend for Anthropic's messages API, and for what speaks it.

The same thin client as for ``openai``, and not Anthropic's own library: its import takes two seconds of processor time
(in a thread, too), it brings twenty megabytes, and its retries would go past the step's. The API is one request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, evolve, field

from trio_recipes.agents.http.answer import Answer, fields_of, part
from trio_recipes.agents.http.exchange import Exchange
from trio_recipes.agents.http.hosted import connected, model_of, names_of, read_by_model, turns
from trio_recipes.agents.http.refusals import Complaint, refused
from trio_recipes.agents.http.settings import ModelSettings
from trio_recipes.agents.http.stops import check_stop
from trio_recipes.classes import frozen

if TYPE_CHECKING:
    from trio_recipes.agents.http.connections import Connections
    from trio_recipes.agents.http.endpoint import Endpoint
    from trio_recipes.runtime.ports import AgentCall, AgentReply, AgentRequest

ANTHROPIC_URL: Final = "https://api.anthropic.com/v1"
"""Where Anthropic's own models answer."""

ANTHROPIC_KEY: Final = "ANTHROPIC_API_KEY"
"""The environment variable that holds the key for them."""

VERSION: Final = "2026-10-21"
"""Of the API."""

SAMPLING_VERSION: Final = "2023-06-01"
"""Of the API, where the model is told how to sample: later versions refuse that."""

_SAMPLING: Final = ("temperature", "top_k", "top_p")

MAX_TOKENS: Final = 32_000
"""Of an answer, unless the settings say: the API wants a number."""


@frozen
class AnthropicBackend:
    """Asks a model by ``/messages``, streamed.

    Args:
        endpoint: where; ``base_url`` ends in ``/v1``.
        settings: what the model is told besides the prompt. ``structured`` does nothing: the API has no structured
            output without a schema; give one in ``extra``.
        connections: of the runtime; ``Agents.connected`` sets it.
    """

    endpoint: Endpoint
    settings: ModelSettings = Factory(ModelSettings)
    connections: Connections | None = field(default=None, eq=False, repr=False)

    def connected(self, connections: Connections) -> AnthropicBackend:
        """The same backend, in a runtime whose connections are ``connections``."""
        return evolve(self, connections=connections)

    async def models(self) -> tuple[str, ...]:
        """The names of the models that the endpoint has.

        Raises:
            BackendError: it can't be asked.
        """
        return names_of(await self._exchange(VERSION).document("models?limit=1000"), self.endpoint.base_url)

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        """Ask the model.

        Raises:
            BackendError: it could not answer.
        """
        body = _body(request, self.settings, model_of(request, self.settings, self.endpoint.base_url))
        answer = Answer(call, self.endpoint.base_url, read_by_model(body))
        version = SAMPLING_VERSION if any(name in body for name in _SAMPLING) else VERSION
        async with self._exchange(version).stream("messages", body) as events:
            answer.begin()
            async for event in events:
                _take(event, answer, self.endpoint)
                if answer.complete:
                    break
        check_stop(answer, limited=self.settings.max_tokens is not None)
        return answer.reply()

    def _exchange(self, version: str) -> Exchange:
        headers = {"anthropic-version": version, **self.endpoint.headers}
        endpoint = evolve(self.endpoint, headers=headers, key_header=self.endpoint.key_header or "x-api-key")
        return Exchange(endpoint, connected(self.connections))


def _body(request: AgentRequest, settings: ModelSettings, model: str) -> dict[str, Any]:
    body = {
        "model": model,
        "max_tokens": settings.max_tokens or MAX_TOKENS,
        "messages": turns(request),
        "stream": True,
        "system": settings.system,
        "temperature": settings.temperature,
        **settings.extra,
    }
    return {name: value for name, value in body.items() if value is not None}


def _take(data: str, answer: Answer, endpoint: Endpoint) -> None:
    """Take an event."""
    event = fields_of(data, answer.who)
    match event.get("type"):
        case "message_start":
            message = part(event, "message", answer.who)
            answer.name(message.get("model"))
            _count_input(message, answer)  # its output is a word that is still to come
        case "content_block_start":
            _say(part(event, "content_block", answer.who), answer)
        case "content_block_delta":
            _say(part(event, "delta", answer.who), answer)
        case "message_delta":
            _stop(part(event, "delta", answer.who), answer)
            _count(event, answer)
        case "message_stop":
            answer.end(told=False)
        case "error":
            raise refused(endpoint, Complaint.of(event).masked(endpoint.masked))
        case _:  # kinds that we don't know may come at any time, and are none of the answer
            pass


def _stop(delta: Mapping[str, Any], answer: Answer) -> None:
    """The reason for the end is the end: what follows only closes what was opened."""
    reason = delta.get("stop_reason")
    if isinstance(reason, str) and reason:
        answer.stop_reason = reason
        answer.refuse(part(delta, "stop_details", answer.who).get("explanation"))
        answer.end()


def _say(piece: Mapping[str, Any], answer: Answer) -> None:
    answer.think(piece.get("thinking"))
    answer.say(piece.get("text"))


def _count(message: Mapping[str, Any], answer: Answer) -> None:
    answer.count(output_tokens=part(message, "usage", answer.who).get("output_tokens"))
    _count_input(message, answer)


def _count_input(message: Mapping[str, Any], answer: Answer) -> None:
    """Here, tokens that the cache holds, or gets, are not among the ``input_tokens``; with us they are."""
    usage = part(message, "usage", answer.who)
    read = [usage.get(name) or 0 for name in ("input_tokens", _CACHED, _TO_CACHE)]
    if any(read) and all(isinstance(number, int) for number in read):
        answer.count(input_tokens=sum(read), cached_tokens=usage.get(_CACHED), cache_creation_tokens=read[2] or None)


_CACHED = "cache_read_input_tokens"
_TO_CACHE = "cache_creation_input_tokens"
