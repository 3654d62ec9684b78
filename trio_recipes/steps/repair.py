"""One more attempt for an answer without the JSON that its step wants.

A repair is made once, where the backend offers it (``AgentReply.repairable``). It is an attempt like any other:
recorded, paced and counted as one; but it does not wait, and there is one also where ``retry`` leaves none. The
language's last resort stays what it is (recipe-language.md section 6): if there is no JSON in its answer either, the
text of that is the value; and if it fails, the text that was to be mended.
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
        if text is None or not (answer.repairable and request.parse_json):
            return reply
        if request.unreadable is not None or holds_json(text):
            return reply
        self._unreadable[request.path] = text
        message = f"step '{step.id}': agent {request.agent!r} answered without JSON"
        return evolve(reply, failure=Failure(FailureKind.BACKEND, message, hint="it is asked once more"), mend=True)
