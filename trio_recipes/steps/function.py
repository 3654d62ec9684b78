"""Function steps (recipe-language.md section 12): a Python function, awaited or in a thread."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import Factory, field

from trio_recipes.classes import frozen
from trio_recipes.errors import TemplateError, ValueRefusedError
from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.model import FunctionStep
from trio_recipes.language.output import interpret
from trio_recipes.language.template import render_tree
from trio_recipes.runtime.ports import LeafCall, Reply
from trio_recipes.steps.apart import Apart
from trio_recipes.steps.guard import describe, sorted_out
from trio_recipes.steps.named import Function, check, load
from trio_recipes.steps.thread import Threads
from trio_recipes.values import normalise

if TYPE_CHECKING:
    from trio_recipes.values import Value


@frozen(eq=False)
class FunctionRunner:
    """Runs function steps.

    An async function is awaited in a task of its own, a plain one in a thread. When its step is stopped it is waited
    for, and reported if it doesn't end. Results stay in the step's record, whole: what is large should be written to
    a file by the function, which returns the name.

    Args:
        functions: those the application has registered, by name.
        allow_import: whether a name like ``package.module:callable`` is imported.
        apart: runs the async ones.
    """

    functions: Mapping[str, Function] = Factory(dict)
    allow_import: bool = False
    apart: Apart = Factory(Apart)
    _imported: dict[str, Function] = field(factory=dict, init=False)
    _threads: Threads = field(
        default=Factory(lambda self: Threads(self.apart.stop_timeout), takes_self=True), init=False
    )

    async def __call__(self, call: LeafCall) -> Reply:
        """Call the function with its arguments rendered.

        Raises:
            TemplateError: an argument refers to what there is not.
        """
        step = call.step
        assert isinstance(step, FunctionStep)
        try:
            arguments = _arguments(step, call)
            return Reply(value=_value(await self._result(step, arguments, call), step))
        except TemplateError:
            raise
        except (Exception, BaseExceptionGroup, SystemExit) as error:  # sys.exit() ends its step and not the runner
            return Reply(failure=_failure(step, sorted_out(error, f"function {step.function!r}")))

    async def _result(self, step: FunctionStep, arguments: Mapping[str, Any], call: LeafCall) -> object:
        function, name = await self._find(step.function, call), f"function {step.function}"
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            return await self.apart.run(partial(function, **arguments), name, call)
        result = await self._threads.run(partial(_deferred, function, arguments), name, call)
        return await self.apart.run(result.wait, name, call) if isinstance(result, _Deferred) else result

    async def _find(self, name: str, call: LeafCall) -> Function:
        found = self.functions.get(name) or self._imported.get(name)
        if found is not None:
            return found
        problem = check(self.functions, name, self.allow_import)
        if problem is not None:
            raise _NotFoundError(problem)
        try:
            found = await self._threads.run(partial(load, name), f"import of {name}", call)
        except Exception as error:
            raise _NotFoundError(f"{name!r} can't be imported: {describe(error)}") from error
        self._imported[name] = found
        return found


def _arguments(step: FunctionStep, call: LeafCall) -> dict[str, Value]:
    """The arguments, copied: variables are immutable by agreement, and the function has agreed to nothing."""
    rendered = render_tree(dict(step.args), call.frame.variables)
    assert isinstance(rendered, dict)
    return {name: normalise(value, f"argument {name!r}") for name, value in rendered.items()}


class _NotFoundError(Exception):
    """There is no such function: trying again can't help."""


@frozen
class _Deferred:
    """What a plain function returned to be awaited; trio refuses bare coroutines out of threads."""

    awaitable: Any

    async def wait(self) -> object:
        return await self.awaitable


def _deferred(function: Function, arguments: Mapping[str, Any]) -> object:
    result = function(**arguments)
    return _Deferred(result) if inspect.isawaitable(result) else result


def _value(result: object, step: FunctionStep) -> Value:
    value = normalise(result, f"the result of function {step.function!r}")
    if step.parse_json and isinstance(value, str):
        return interpret(value, parse_json=True)
    return value


def _failure(step: FunctionStep, error: BaseException) -> Failure:
    if isinstance(error, _NotFoundError):
        cause = type(error.__cause__ or error).__name__.lstrip("_")
        return Failure(FailureKind.FUNCTION, f"step '{step.id}': {error}", retryable=False, cause=cause)
    return Failure(
        FailureKind.FUNCTION,
        f"step '{step.id}': {describe(error)}",
        retryable=not isinstance(error, (ValueRefusedError, SystemExit)),
        cause=type(error).__name__,
    )
