"""The parsed recipe: immutable classes, one per noun of the language (recipe-language.md sections 1, 2, 7, 9, 12).

Everything here is plain data plus parsed templates and expressions; nothing knows how a recipe runs.
``load.py`` builds these from text, ``rules.py`` checks what crosses fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from attrs import Factory, field

from trio_recipes.classes import frozen
from trio_recipes.errors import Problem
from trio_recipes.language.expression import Expression
from trio_recipes.language.template import Template
from trio_recipes.values import Value


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


class OnError(StrEnum):
    """What a step's failure does once its attempts are used up (recipe-language.md section 8)."""

    FAIL = "fail"
    CONTINUE = "continue"
    SKIP_REMAINING = "skip_remaining"


@frozen
class Retry:
    """How often, and after which waits, a failed attempt is repeated.

    Args:
        max_attempts: attempts in all, at least 1.
        backoff: ``exponential`` doubles the delay after each failure, ``linear`` keeps it.
        initial_delay: seconds before the second attempt.
        max_delay: seconds that no wait exceeds.
    """

    max_attempts: int = 1
    backoff: Literal["exponential", "linear"] = "exponential"
    initial_delay: float = 5.0
    max_delay: float = 300.0

    def delay(self, failed: int, at_least: float = 0.0) -> float:
        """Seconds to wait after the ``failed``-th failure (from 1); longer if an endpoint asks for ``at_least``."""
        factor = 2.0 ** min(failed - 1, 60) if self.backoff == "exponential" else 1.0
        return min(max(self.initial_delay * factor, at_least), self.max_delay)


@frozen
class Recursion:
    """Limits of a tree of recipes: recipes on the stack, and agent steps over the whole tree."""

    max_depth: int = 5
    max_total_steps: int = 100


@frozen
class Backoff:
    """How agent steps slow down after a rate-limit answer (section 9). Delays in milliseconds."""

    enabled: bool = True
    initial_delay_ms: int = 1000
    max_delay_ms: int = 60000
    multiplier: float = 2.0
    reset_after_success: int = 3


@frozen
class RateLimiting:
    """Pacing of agent steps over the whole tree; only the root recipe's counts (section 9)."""

    max_concurrent_llm: int | None = None
    min_delay_ms: int = 0
    backoff: Backoff = Backoff()


@frozen
class Limits:
    """Budgets over the whole tree (section 12): ``deadline`` in seconds of running time, cost in US dollars."""

    deadline: float | None = None
    cost_usd: float | None = None
    tokens: int | None = None


@frozen
class Approval:
    """The gate after a stage (section 10). ``timeout`` in seconds; 0 waits for ever."""

    required: bool = False
    prompt: Template | None = None
    timeout: float = 0.0
    default: Literal["approve", "deny"] = "deny"
    by: Literal["anyone", "human"] = "anyone"


@frozen
class Foreach:
    """A loop over a list (section 7).

    Args:
        items: exactly one reference to a list.
        variable: the name the item is bound to, inside the body only (``as``).
        collect: the variable that receives all results in input order, or None.
        max_iterations: a longer list is an error.
        parallel: 1 is one at a time; None is all at once; n is at most n at once.
        update_context: variables set after each iteration, before ``break_when``.
        break_when: ends the loop after the iteration in which it holds.
        body: the steps of the body, or () when the step itself is the body.
    """

    items: Template
    variable: str = "item"
    collect: str | None = None
    max_iterations: int = 100
    parallel: int | None = 1
    update_context: Mapping[str, Template] = Factory(_nothing)
    break_when: Expression | None = None
    body: tuple[Step, ...] = ()


@frozen
class While:
    """A loop that repeats while a condition holds (section 7); fields as in :class:`Foreach`."""

    condition: Expression
    collect: str | None = None
    max_iterations: int = 100
    update_context: Mapping[str, Template] = Factory(_nothing)
    break_when: Expression | None = None
    body: tuple[Step, ...] = ()


@frozen(kw_only=True)
class Step:
    """What every kind of step has (section 2). ``digest`` names its definition; ``line`` is where it stands.

    Args:
        timeout: seconds one attempt may take, or None for no limit. Already resolved: 600 for agent, bash and
            function steps that give none; None for recipe steps and loop bodies.
        depends_on: ids of earlier steps (used by ``schedule: graph``).
        digest: SHA-256 of ``source`` as canonical JSON, hexadecimal.
        source: the step as plain data, for digests and for showing it.
        line: where it stands in the document.
        where: its field path, such as ``steps[3].steps[0]``.
    """

    kind: ClassVar[str] = "step"

    id: str
    output: str | None = None
    condition: Expression | None = None
    timeout: float | None = None
    retry: Retry = Retry()
    on_error: OnError = OnError.FAIL
    depends_on: tuple[str, ...] = ()
    parse_json: bool = False
    loop: Foreach | While | None = None
    on_interrupt: Literal["rerun", "ask", "skip", "fail"] = "rerun"
    on_resume: Literal["reuse", "rerun"] = "reuse"
    finally_: tuple[Step, ...] = ()
    cleanup_timeout: float = 30.0
    digest: str = ""
    source: Mapping[str, Value] = field(factory=_nothing, repr=False)
    line: int | None = None
    where: str = ""

    @property
    def body(self) -> tuple[Step, ...]:
        """The steps of a loop's body; () for a step that is its own body."""
        return self.loop.body if self.loop else ()


@frozen(kw_only=True)
class AgentStep(Step):
    """Asks an agent. Fields beyond ``agent`` and ``prompt`` are carried to the backend as they are."""

    kind: ClassVar[str] = "agent"

    agent: str
    prompt: Template
    mode: str | None = None
    agent_config: Mapping[str, Value] = Factory(_nothing)
    provider: str | None = None
    model: str | None = None
    provider_preferences: tuple[Mapping[str, Value], ...] = ()
    model_role: str | None = None
    spawn_mode: str | None = None


@frozen(kw_only=True)
class BashStep(Step):
    """Runs a shell command. ``kill_grace`` in seconds; ``stop_signal`` is a name without SIG, such as TERM."""

    kind: ClassVar[str] = "bash"

    command: Template
    cwd: Template | None = None
    env: Mapping[str, Template] = Factory(_nothing)
    env_from_context: tuple[str, ...] = ()
    output_exit_code: str | None = None
    kill_grace: float = 2.0
    stop_signal: str = "TERM"
    background: Literal["session", "kill"] = "session"


@frozen(kw_only=True)
class RecipeStep(Step):
    """Runs another recipe; ``context`` holds the only variables that it gets (a tree of templates, kept raw)."""

    kind: ClassVar[str] = "recipe"

    recipe: Template
    context: Mapping[str, Value] = Factory(_nothing)
    recursion: Recursion | None = None


@frozen(kw_only=True)
class FunctionStep(Step):
    """Calls a Python function with ``args`` (a tree of templates, kept raw)."""

    kind: ClassVar[str] = "function"

    function: str
    args: Mapping[str, Value] = Factory(_nothing)


@frozen(kw_only=True)
class BlockStep(Step):
    """A loop whose body is a list of steps; it does nothing of its own."""

    kind: ClassVar[str] = "block"


@frozen(kw_only=True)
class Stage:
    """A named group of steps with an optional gate behind it."""

    name: str
    steps: tuple[Step, ...]
    approval: Approval = Approval()
    finally_: tuple[Step, ...] = ()
    cleanup_timeout: float = 30.0
    schedule: Literal["order", "graph"] = "order"
    max_parallel_steps: int | None = None
    line: int | None = None
    where: str = ""


@frozen(kw_only=True)
class Recipe:
    """A whole document. Exactly one of ``steps`` and ``stages`` is not empty.

    Args:
        file: the resolved file it was read from, or None; sub-recipe paths are relative to its folder.
        text: the document as it was read, for freezing it in a session.
        digest: SHA-256 of ``text``, hexadecimal.
        warnings: what is legal but surprising.
        positions: line and column of each field of ``text``, by its path.
    """

    name: str
    description: str
    version: str
    steps: tuple[Step, ...] = ()
    stages: tuple[Stage, ...] = ()
    context: Mapping[str, Value] = Factory(_nothing)
    author: str | None = None
    created: str | None = None
    updated: str | None = None
    tags: tuple[str, ...] = ()
    recursion: Recursion = Recursion()
    rate_limiting: RateLimiting | None = None
    orchestrator: Mapping[str, Value] = Factory(_nothing)
    secrets: tuple[str, ...] = ()
    limits: Limits = Limits()
    finally_: tuple[Step, ...] = ()
    cleanup_timeout: float = 30.0
    schedule: Literal["order", "graph"] = "order"
    max_parallel_steps: int | None = None
    file: str | None = None
    text: str = ""
    digest: str = ""
    warnings: tuple[Problem, ...] = ()
    positions: Mapping[str, tuple[int, int]] = field(factory=dict, repr=False, eq=False)

    def all_steps(self) -> Iterator[Step]:
        """Every step of the document, loop bodies and ``finally`` blocks included, in document order."""
        yield from _descend(self.steps)
        for stage in self.stages:
            yield from _descend(stage.steps)
            yield from _descend(stage.finally_)
        yield from _descend(self.finally_)


def _descend(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _descend(step.body)
        yield from _descend(step.finally_)
