"""Positioned data -> steps: kinds, loops and bodies (recipe-language.md sections 2, 7 and 12)."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from trio_recipes.language.fields import Field, RefusedError, mapping, number, read_fields, sequence
from trio_recipes.language.model import AgentStep, BashStep, BlockStep, Foreach, FunctionStep, RecipeStep, Step, While
from trio_recipes.language.schema import COMMON, KINDS, LOOP
from trio_recipes.language.template import Template
from trio_recipes.language.wording import did_you_mean, listed, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_recipes.language.fields import Table
    from trio_recipes.language.report import Place
    from trio_recipes.values import Value

MAX_STEPS = 10_000
"""Steps of one recipe, at any depth."""

ATTEMPT_TIMEOUT = 600.0
"""Seconds for one attempt of an agent, bash or function step that gives no timeout (section 2)."""

_CLASSES: dict[str, type[Step]] = {"agent": AgentStep, "bash": BashStep, "recipe": RecipeStep, "function": FunctionStep}

_LOOPS = ("foreach", "while_condition")

NEEDS: Mapping[str, tuple[str, ...]] = {
    "steps": _LOOPS,
    "while_steps": _LOOPS,
    "break_when": _LOOPS,
    "finally": _LOOPS,
    "parallel": ("foreach",),
    "checkpoint_iterations": ("foreach",),
}
"""Keys that are wrong without one of others."""

USELESS_WITHOUT: Mapping[str, tuple[str, ...]] = {
    "collect": _LOOPS,
    "update_context": _LOOPS,
    "as": ("foreach",),
    "max_iterations": ("foreach",),
    "max_while_iterations": ("while_condition",),
    "cleanup_timeout": ("finally",),
}
"""Keys that do nothing without one of others; the other engine accepts them, so they are surprising only."""

EXCLUDES = (
    ("while_condition", "foreach"),
    ("checkpoint_iterations", "parallel"),
    ("while_steps", "steps"),
    ("provider_preferences", "provider"),
    ("provider_preferences", "model"),
    ("model_role", "provider"),
    ("model_role", "model"),
    ("model_role", "provider_preferences"),
)
"""Pairs of keys of which a step has one at most."""


def read_steps(value: Value, place: Place) -> tuple[Step, ...]:
    """A list of at least one step."""
    found = sequence(value, place)
    if not found:
        raise RefusedError("needs at least one step")
    place.report.steps += len(found)
    if place.report.steps > MAX_STEPS:
        raise RefusedError(
            f"a recipe has at most {MAX_STEPS:,} steps, those in loops included; use foreach for repetitions"
        )
    steps = []
    for index, item in enumerate(found):
        try:
            steps.append(read_step(item, place.item(index)))
        except RefusedError as refused:
            place.item(index).error(str(refused))
    return tuple(steps)


def read_step(value: Value, place: Place) -> Step:
    """One step of any kind, with everything that is wrong with it reported."""
    data = mapping(value, place)
    kind = _kind(data)
    given = frozenset(key for key, item in data.items() if item is not None and item is not False)
    is_block = kind is None or bool(given & {"steps", "while_steps"})
    own: Table = {} if is_block or kind is None else KINDS[kind]
    what = "a step" if kind is None or is_block else _a(kind)
    _check_keys(data, kind, given, place, is_block=is_block)
    _check_combinations(given, place)
    values = read_fields(data, place, COMMON | own | FINALLY, what=what)
    values.pop("type", None)
    if kind != "recipe" and not is_block:
        values.setdefault("timeout", ATTEMPT_TIMEOUT)
    cls = BlockStep if kind is None or is_block else _CLASSES[kind]
    loop = _loop(data, place)
    return cls(**values, loop=loop, digest=_digest(data), source=data, line=place.line, where=place.path)


def _kind(data: Mapping[str, Value]) -> str | None:
    """The kind of step; None for one that does not exist, of which nothing else can be told."""
    kind = data.get("type")
    if kind is None:
        return "agent"
    return kind if isinstance(kind, str) and kind in _CLASSES else None


def _a(kind: str) -> str:
    return f"an {kind} step" if kind == "agent" else f"a {kind} step"


# --- keys --------------------------------------------------------------------------------------------------------


def _check_keys(
    data: Mapping[str, Value], kind: str | None, given: frozenset[str], place: Place, *, is_block: bool
) -> None:
    general = COMMON | LOOP | BODY | FINALLY
    for key in data.keys() - general.keys():
        owners = [owner for owner, table in KINDS.items() if key in table]
        here = place.key(key)
        if not owners:
            here.error(_unknown(key, kind, general.keys() | (KINDS[kind].keys() if kind else set())))
        elif key in given and kind is not None and kind not in owners:
            here.error(f"{kind} steps cannot have {key!r}; it belongs to {' and '.join(owners)} steps")
        elif key in given and kind is not None and is_block:
            here.warn("has no effect: the work of this loop is its 'steps'")


def _unknown(key: str, kind: str | None, names: Iterable[str]) -> str:
    hint = did_you_mean(key, names)
    return f"unknown key of {_a(kind) if kind else 'a step'}{hint}" + ("" if hint else f" (there are: {listed(names)})")


def _check_combinations(given: frozenset[str], place: Place) -> None:
    for key, needed in NEEDS.items():
        if key in given and not given.intersection(needed):
            place.key(key).error(f"needs {' or '.join(needed)}")
    for key, needed in USELESS_WITHOUT.items():
        if key in given and not given.intersection(needed):
            place.key(key).warn(f"has no effect without {' or '.join(needed)}")
    for key, other in EXCLUDES:
        if key in given and other in given:
            place.key(key).error(f"can't stand together with {other!r}; keep one of them")


# --- loops -------------------------------------------------------------------------------------------------------

BODY: Table = {"steps": Field(read_steps), "while_steps": Field(read_steps)}
"""A loop's body, in both spellings."""

FINALLY: Table = {"finally": Field(read_steps, "finally_"), "cleanup_timeout": Field(number(0))}
"""What runs however the work ended (section 12)."""


def _loop(data: Mapping[str, Value], place: Place) -> Foreach | While | None:
    loop = read_fields(data, place, LOOP | BODY, what="a loop")
    body = loop.get("steps") or loop.get("while_steps") or ()
    shared: dict[str, Any] = {"body": body}
    shared |= {key: loop[key] for key in ("collect", "update_context", "break_when") if key in loop}
    if "foreach" in loop:
        _check_foreach(loop["foreach"], place.key("foreach"))
        names = {"as": "variable", "max_iterations": "max_iterations", "parallel": "parallel"}
        own = {name: loop[key] for key, name in names.items() if key in loop}
        return Foreach(items=Template.parse(loop["foreach"].source.strip()), **own, **shared)
    if "while_condition" in loop:
        condition = loop["while_condition"]
        if not condition.references and condition.source.strip().lower() != "true":
            place.key("while_condition").error(
                f"must refer to a variable, such as {{{{done}}}}, or be 'true'; found {shown(condition.source)}"
            )
        if "max_while_iterations" in loop:
            shared["max_iterations"] = loop["max_while_iterations"]
        return While(condition=condition, **shared)
    return None


def _check_foreach(items: Template, place: Place) -> None:
    if not Template.parse(items.source.strip()).is_single_reference:
        place.error(f"must be one reference to a list, such as '{{{{files}}}}'; found {shown(items.source)}")


def _digest(data: Mapping[str, Value]) -> str:
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
