"""Functions that take what another function takes: the asyncio side repeats no parameter list of the trio side."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def function_like(model: Callable[P, object]) -> Callable[[Callable[..., T]], Callable[P, T]]:
    """Decorate a function that hands its arguments on to ``model``."""
    return lambda function: _signed(function, model)


def method_like(
    model: Callable[Concatenate[Any, P], object],
) -> Callable[[Callable[..., T]], Callable[Concatenate[Any, P], T]]:
    """Decorate a method that hands its arguments on to the method ``model``."""
    return lambda method: _signed(method, model)


def _signed(function: Any, model: Callable[..., object]) -> Any:
    function.__signature__ = inspect.signature(model)
    return function
