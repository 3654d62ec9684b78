"""`help()` of a public name tells what each argument is: there, in its class, or where it says that it is told."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import trio_recipes

ELSEWHERE = re.compile(r"\b(?:[Aa]s|see) (?:for )?:(?:meth|func|class):")


def functions() -> Iterator[tuple[str, str, Callable[..., Any]]]:
    """Name, the docstring of the class around it, and the function: all that is public."""
    for name in trio_recipes.__all__:
        found = getattr(trio_recipes, name)
        if inspect.isfunction(found):
            yield name, "", found
        elif inspect.isclass(found):
            for method in (each for each in vars(found) if not each.startswith("_")):
                if inspect.isroutine(function := getattr(found, method)):
                    yield f"{name}.{method}", inspect.getdoc(found) or "", function


@pytest.mark.parametrize(("around", "function"), [pytest.param(*rest, id=name) for name, *rest in functions()])
def test_every_argument_is_told(around: str, function: Callable[..., Any]) -> None:
    told = inspect.getdoc(function) or ""
    assert told
    if ELSEWHERE.search(told):
        return
    words = set(re.findall(r"\w+", told + around))
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    assert [each.name for each in parameters if each.kind not in kinds and each.name not in {"self", "_", *words}] == []
