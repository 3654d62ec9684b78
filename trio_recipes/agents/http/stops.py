"""Why models stop, and which of these reasons are no answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from trio_recipes.errors import BackendError

if TYPE_CHECKING:
    from trio_recipes.agents.http.answer import Answer

CUT_OFF: Final = frozenset({"length", "max_tokens", "model_length"})
"""The answer is as long as it may be."""

GAVE_UP: Final = frozenset({"abort", "error", "insufficient_system_resource"})
"""The endpoint could not go on: what came is a part of an answer."""

NO_ANSWER: Final[Mapping[str, str]] = {
    "content_filter": "stopped its answer: its content filter objects. Reword the prompt",
    "refusal": "refuses to answer this prompt. Reword it",
    "model_context_window_exceeded": "ran out of context. Shorten the prompt, or name a model with a larger context",
    "tool_calls": "wants to call a tool, and there is none. Say in the prompt that it has to answer by itself",
    "function_call": "wants to call a tool, and there is none. Say in the prompt that it has to answer by itself",
    "tool_use": "wants to call a tool, and there is none. Say in the prompt that it has to answer by itself",
    "pause_turn": "paused its turn, which only agents with tools of the endpoint's do",
}
"""By stop reason; asking again would not help. What had been said until then is in the step's record."""


def check_stop(answer: Answer, *, limited: bool) -> None:
    """Refuse an answer that is none.

    Args:
        answer: as far as it came.
        limited: whether its length was limited on purpose.

    Raises:
        BackendError: the model stopped without having answered.
    """
    reason = (answer.stop_reason or "").lower()
    if reason in NO_ANSWER:
        words = " ".join(answer.objection.split())
        text = f"{answer.who} {NO_ANSWER[reason]}" + (f". It says: {words}" if words else "")
        raise BackendError(text, retryable=False)
    if reason in GAVE_UP:
        raise BackendError(f"{answer.who} broke off: it gave up in the middle of its answer ({reason})")
    if reason in CUT_OFF and not limited:
        text = f"{answer.who} cut its answer off at the model's limit. Set `max_tokens` higher, or ask for less at once"
        raise BackendError(text, retryable=False)
