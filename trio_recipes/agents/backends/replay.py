"""A backend that answers as a former session was answered: by the scope's path and the prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import trio
from attrs import evolve, field

from trio_recipes.classes import frozen
from trio_recipes.errors import BackendError, InternalError
from trio_recipes.language.wording import shown
from trio_recipes.masking import MASK
from trio_recipes.runtime.ports import AgentBackend, AgentReply
from trio_recipes.values import Value

if TYPE_CHECKING:
    from trio_recipes.runtime.ports import AgentCall, AgentRequest

MAX_LINES: Final = 20
"""Lines of a difference that a message shows."""

MAX_WIDTH: Final = 200
"""Characters of each."""


@frozen(kw_only=True)
class Recorded:
    """How an agent step of a former session was answered.

    Args:
        agent: who was asked.
        prompt: complete, with secrets masked.
        text: the answer, or None if it is ``value`` or there is none.
        value: the answer, if it is no text.
        failure: why there is none, or None.
        model: what had answered.
    """

    agent: str
    prompt: str
    text: str | None = None
    value: Value = None
    failure: str | None = None
    model: str | None = None


@frozen
class Recording:
    """What a session was answered.

    Args:
        name: the session, or the file, that it is from.
        answers: by the path of each agent step that came to an end.
    """

    name: str
    answers: Mapping[str, Recorded] = field(repr=False)


Recall: TypeAlias = Callable[[str], Recording]
"""Finds a recording: a session's (by id, prefix or ``@last``), or that in a file."""


@frozen
class ReplayBackend:
    """Answers from a recording, and asks nobody; a request that is not in it fails, or goes to another backend.

    What stands masked in a recorded prompt may be anything now.

    Args:
        session: an id, a unique prefix of one, ``@last``, or the file of a recording.
        otherwise: asked for what is not in the recording.
        recording: the answers; ``Agents.recalled`` sets it.
    """

    session: str
    otherwise: AgentBackend | None = None
    recording: Recording | None = None

    def recalled(self, recall: Recall) -> ReplayBackend:
        """The same, with its recording read, unless that is there already. Blocks.

        Raises:
            RecipesError: there is no such session or file, or it can't be read.
        """
        return self if self.recording is not None else evolve(self, recording=recall(self.session))

    def changed(self, change: Callable[[AgentBackend], AgentBackend]) -> ReplayBackend:
        """The same, with ``change`` made to the backend behind it."""
        return self if self.otherwise is None else evolve(self, otherwise=change(self.otherwise))

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        """Answer as it was answered before.

        Raises:
            BackendError: it was not, and there is no other backend; or it failed before, too.
        """
        if self.recording is None:
            raise InternalError("a replay was asked before its recording was read")
        await trio.lowlevel.checkpoint()
        found = self.recording.answers.get(request.path)
        if found is not None and found.agent == request.agent and is_same(found.prompt, request.prompt):
            return _replayed(found, self.recording.name)
        if self.otherwise is not None:
            return await self.otherwise.ask(request, call)
        raise BackendError(_miss(self.recording.name, request, found), retryable=False)


def is_same(recorded: str, prompt: str) -> bool:
    """Whether a prompt is the one that was recorded, where secrets are masked."""
    if MASK not in recorded:
        return recorded == prompt
    pattern = ".*".join(map(re.escape, recorded.split(MASK)))
    return re.fullmatch(pattern, prompt, re.DOTALL) is not None


def _replayed(found: Recorded, name: str) -> AgentReply:
    if found.failure is not None:
        raise BackendError(f"it failed in {name}, too: {found.failure}", retryable=False)
    if found.text is not None:
        return AgentReply(text=found.text, model=found.model)
    return AgentReply(value={"output": found.value}, model=found.model)


def _miss(name: str, request: AgentRequest, found: Recorded | None) -> str:
    head = f"{name} has no answer for this request at {request.path!r}"
    if found is None:
        return f"{head}: nothing was asked there. Record it anew, or name a backend in 'otherwise'"
    if found.agent != request.agent:
        return f"{head}: agent {shown(found.agent)} was asked there, not {shown(request.agent)}"
    return f"{head}: the prompt is another one (- recorded, + now):\n{difference(found.prompt, request.prompt)}"


def difference(before: str, after: str) -> str:
    """What is different, as the lines of a diff around the first place: bounded, however long the texts are."""
    import difflib  # noqa: PLC0415  only misses need it

    old, new = before.splitlines(), after.splitlines()
    same = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(0, same - 2)
    window = slice(start, start + MAX_LINES * 2)

    lines = [*difflib.unified_diff(_cut(old[window]), _cut(new[window]), n=2, lineterm="")][3:]
    rest = [f"… from line {start + 1} on"] if len(lines) > MAX_LINES or start else []
    return "\n".join([*lines[:MAX_LINES], *rest])


def _cut(lines: list[str]) -> list[str]:
    return [line if len(line) <= MAX_WIDTH else f"{line[:MAX_WIDTH]}…" for line in lines]
