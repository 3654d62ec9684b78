"""A backend for every endpoint that speaks OpenAI's chat completions: hosted, vLLM, Ollama, llama.cpp and others.

A thin client on httpx2 rather than OpenAI's own library: that takes a second to import, and everything it would do
beyond the one request (retries, back-off, time-outs) has to be the step's here, or it could not be stopped or recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, evolve, field

from trio_recipes.agents.http.answer import Answer, fields_of, malformed, part
from trio_recipes.agents.http.exchange import Exchange, RefusedError
from trio_recipes.agents.http.hosted import connected, model_of, names_of, read_by_model, turns
from trio_recipes.agents.http.refusals import Complaint, is_error, refused
from trio_recipes.agents.http.settings import ModelSettings
from trio_recipes.agents.http.stops import check_stop
from trio_recipes.classes import frozen
from trio_recipes.errors import BackendError

if TYPE_CHECKING:
    from trio_recipes.agents.http.connections import Connections
    from trio_recipes.agents.http.endpoint import Endpoint
    from trio_recipes.runtime.ports import AgentCall, AgentReply, AgentRequest

OPENAI_URL: Final = "https://api.openai.com/v1"
"""Where OpenAI's own models answer."""

OPENAI_KEY: Final = "OPENAI_API_KEY"
"""The environment variable that holds the key for them."""

ANY_JSON: Final = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "schema": {"anyOf": [{"type": "object"}, {"type": "array"}]}},
}
"""``response_format`` for a step with ``parse_json``; ``json_object`` would forbid arrays."""


@frozen
class OpenAIBackend:
    """Asks a model by ``/chat/completions``, streamed.

    Args:
        endpoint: where; ``base_url`` ends in ``/v1`` for most.
        settings: what the model is told besides the prompt.
        connections: of the runtime; ``Agents.connected`` sets it.
    """

    endpoint: Endpoint
    settings: ModelSettings = Factory(ModelSettings)
    connections: Connections | None = field(default=None, eq=False, repr=False)

    def connected(self, connections: Connections) -> OpenAIBackend:
        """The same backend, in a runtime whose connections are ``connections``."""
        return evolve(self, connections=connections)

    async def models(self) -> tuple[str, ...]:
        """The names of the models that the endpoint has.

        Raises:
            BackendError: it can't be asked.
        """
        document = await Exchange(self.endpoint, connected(self.connections)).document("models")
        return names_of(document, self.endpoint.base_url)

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        """Ask the model. What the endpoint won't have of the optional fields is left out then and from then on.

        Raises:
            BackendError: it could not answer.
        """
        connections = connected(self.connections)
        model = model_of(request, self.settings, self.endpoint.base_url)
        refused_fields = connections.refused.setdefault((self.endpoint.base_url, model), set())
        while True:
            body = _body(request, self.settings, model, refused_fields)
            answer = Answer(call, self.endpoint.base_url, read_by_model(body))
            try:
                await self._fill(answer, body, connections)
            except RefusedError as refusal:
                concession = _concession(refusal, body.keys() - self.settings.extra.keys())
                if concession is None:
                    raise
                refused_fields.add(concession)
            else:
                check_stop(answer, limited=self.settings.max_tokens is not None)
                return answer.reply()

    async def _fill(self, answer: Answer, body: Mapping[str, Any], connections: Connections) -> None:
        """Hear the answer. Once the model is done, nothing that happens to the connection can spoil it."""
        try:
            async with Exchange(self.endpoint, connections).stream("chat/completions", body) as events:
                answer.begin()
                async for event in events:
                    heard = answer.heard
                    _take(event, answer, self.endpoint)
                    if event == _END:
                        break
                    if answer.heard > heard:
                        events.take_time()
                    if answer.complete and answer.has_text:
                        events.hurry()
        except BackendError:
            if not answer.complete:
                raise


_END = "[DONE]"


# --- the request -------------------------------------------------------------------------------------------------


def _body(request: AgentRequest, settings: ModelSettings, model: str, refused_fields: set[str]) -> dict[str, Any]:
    limit = "max_completion_tokens" if "max_tokens" in refused_fields else "max_tokens"
    optional = {
        "stream_options": {"include_usage": True},
        "response_format": ANY_JSON if settings.structured and request.parse_json else None,
    }
    body = {
        "model": model,
        "messages": [*_system(settings), *turns(request)],
        "stream": True,
        "temperature": settings.temperature,
        limit: settings.max_tokens,
        **{name: value for name, value in optional.items() if name not in refused_fields},
        **settings.extra,
    }
    return {name: value for name, value in body.items() if value is not None}


def _system(settings: ModelSettings) -> list[dict[str, str]]:
    return [{"role": "system", "content": settings.system}] if settings.system else []


_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "stream_options": ("stream_options", "include_usage"),
    "response_format": ("response_format", "json_schema", "structured output"),
    "max_tokens": ("max_completion_tokens",),  # newer models of OpenAI have it under this name
}
"""Optional fields, and by which words a refusal objects to them."""


_OBJECTS: Final = (400, 422, 500, 501)
"""Statuses with which endpoints object to a field; llama-cpp-python's says 500."""


def _concession(refusal: RefusedError, ours: Set[str]) -> str | None:
    """The optional field that the endpoint objects to, if it is one of ours."""
    if refusal.status not in _OBJECTS:
        return None
    objected = (name for name, words in _WORDS.items() if any(map(refusal.complaint.objects_to, words)))
    return next((name for name in objected if name in ours), None)


# --- the answer --------------------------------------------------------------------------------------------------


def _take(data: str, answer: Answer, endpoint: Endpoint) -> None:
    if data == _END:
        answer.end(told=False)
        return
    chunk = fields_of(data, answer.who)
    if is_error(chunk):
        raise refused(endpoint, Complaint.of(chunk).masked(endpoint.masked))
    answer.name(chunk.get("model"))
    choices = chunk.get("choices") or []
    for choice in choices if isinstance(choices, list) else malformed(answer.who):
        _choose(choice if isinstance(choice, dict) else malformed(answer.who), answer)
    _count(part(chunk, "usage", answer.who), answer)  # last: it includes what the chunk says


def _choose(choice: Mapping[str, Any], answer: Answer) -> None:
    if choice.get("index"):  # others than the first are there where `extra` asks for several
        return
    delta = part(choice, "delta", answer.who)
    answer.think(delta.get("reasoning_content") or delta.get("reasoning"))
    content = delta.get("content")
    for piece in content if isinstance(content, list) else (content,):
        _say(piece, answer)
    if delta.get("refusal"):
        answer.stop_reason = "refusal"
        answer.refuse(delta["refusal"])
    if choice.get("finish_reason"):
        answer.stop_reason = answer.stop_reason or str(choice["finish_reason"])
        answer.end()


def _say(piece: object, answer: Answer) -> None:
    """A text; or one of the parts that Mistral's models answer with: of the answer, or thoughts made of such parts."""
    if not isinstance(piece, dict):
        answer.say(piece)
        return
    answer.say(piece.get("text"))
    thoughts = piece.get("thinking")
    for thought in thoughts if isinstance(thoughts, list) else (thoughts,):
        answer.think(thought.get("text") if isinstance(thought, dict) else thought)


def _count(usage: Mapping[str, Any], answer: Answer) -> None:
    if usage:
        details = part(usage, "prompt_tokens_details", answer.who)
        answer.count(input_tokens=usage.get("prompt_tokens"), output_tokens=usage.get("completion_tokens"))
        answer.count(
            cached_tokens=details.get("cached_tokens", usage.get("prompt_cache_hit_tokens"))
        )  # as DeepSeek has it
