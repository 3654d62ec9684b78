"""One more attempt for an answer without the JSON that its step wants.

The language's last resort for such an answer is the text itself (recipe-language.md section 6). So a repair is made
only where the backend offers it (``AgentReply.repairable``) and the step's ``retry`` leaves an attempt for it: it is an
attempt like any other, recorded, paced and counted as one. If its answer has no JSON either, the text is the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, field

from trio_recipes.classes import define
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.output import holds_json

if TYPE_CHECKING:
    from trio_recipes.runtime.ports import AgentReply, AgentRequest, LeafCall, Reply


@define(eq=False)
class Repairs:
    """The answers of a run that are to be mended, by the path of their step."""

    _unreadable: dict[str, str] = field(factory=dict, init=False)

    def asked(self, request: AgentRequest) -> AgentRequest:
        """The request, with the answer to be mended in it if there is one."""
        return evolve(request, unreadable=self._unreadable.pop(request.path, None))

    def checked(self, call: LeafCall, request: AgentRequest, answer: AgentReply, reply: Reply) -> Reply:
        """The reply, as a failed attempt if the next one is to mend it."""
        text, step = answer.text, call.step
        attempts_left = step.retry.max_attempts - call.attempt
        if text is None or not (answer.repairable and request.parse_json and attempts_left > 0):
            return reply
        if request.unreadable is not None or holds_json(text):
            return reply
        self._unreadable[request.path] = text
        message = f"step '{step.id}': agent {request.agent!r} answered without JSON"
        return evolve(reply, failure=Failure(FailureKind.BACKEND, message, hint="it is asked once more"))
