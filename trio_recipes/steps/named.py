"""From the name in a function step to the function: registered by the application, or ``package.module:callable``."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, Final, TypeAlias

from trio_recipes.language.wording import did_you_mean, listed

Function: TypeAlias = Callable[..., Any]

_IMPORTABLE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def check(functions: Mapping[str, Function], name: str, allow_import: bool) -> str | None:
    """Tell, before anything runs and without importing anything, why a name can't be a function's.

    Args:
        functions: the registered ones.
        name: as in the recipe.
        allow_import: whether ``package.module:callable`` is allowed.

    Returns:
        What is wrong and what to do, or None: the name is registered, or looks as if it can be imported.
    """
    if name in functions:
        return None
    if ":" not in name:
        known = f"{did_you_mean(name, functions)} (registered: {listed(functions)})"
        return f"no function is registered as {name!r}{known}"
    if not allow_import:
        return f"functions are not imported here, so {name!r} must be registered: functions={{{name!r}: …}}"
    if not _IMPORTABLE.fullmatch(name):
        return f"{name!r} is no name of the form package.module:callable"
    package = name.partition(":")[0].partition(".")[0]
    return None if _is_installed(package) else f"{name!r}: there is no module {package!r} where Python looks for them"


def _is_installed(package: str) -> bool:
    return package in sys.modules or importlib.util.find_spec(package) is not None


def load(name: str) -> Function:
    """Import ``package.module:callable``; runs the module's code, so not in trio's thread.

    Raises:
        ImportError: there is no such module.
        AttributeError: there is nothing of that name in it.
        TypeError: what there is can't be called.
        Exception: whatever the module raises.
    """
    module, _, attributes = name.partition(":")
    found = reduce(getattr, attributes.split("."), importlib.import_module(module))
    if not callable(found):
        raise TypeError(f"{name} is {type(found).__name__}, which can't be called")
    function: Function = found
    return function
