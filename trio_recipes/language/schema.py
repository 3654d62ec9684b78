"""Which keys each mapping of the language has, and what they take: tables (recipe-language.md sections 1, 2, 9, 12).

Those of steps also say which kind of step a key belongs to, for messages and for a schema that editors understand.
"""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from trio_recipes.language.fields import (
    Field,
    RefusedError,
    choice,
    each,
    expression,
    flag,
    mapping,
    mapping_of,
    matching,
    number,
    read_mapping,
    record,
    sequence,
    template,
    template_words,
    text,
    variable,
    whole,
    words,
    wrong,
)
from trio_recipes.language.model import Approval, Backoff, Limits, OnError, RateLimiting, Recursion, Retry
from trio_recipes.language.template import Template
from trio_recipes.language.wording import shown

if TYPE_CHECKING:
    from trio_recipes.language.fields import Table
    from trio_recipes.language.report import Place
    from trio_recipes.values import Value

# --- readers of single fields ------------------------------------------------------------------------------------


def version(value: Value, place: Place) -> str:
    """``MAJOR.MINOR.PATCH``, digits only (section 1)."""
    found = text(value, place)
    if re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", found):
        return found
    hint = "; write it without the 'v'" if found[:1] in "vV" and found else ""
    if re.match(r"[0-9.]+[-+]", found):
        hint = "; pre-release and build parts are not part of it"
    raise RefusedError(f"must be MAJOR.MINOR.PATCH, digits only, such as '1.0.0'; found {shown(found)}{hint}")


def parallel(value: Value, place: Place) -> int | None:
    """``false``: 1 at a time; ``true``: None, all at once; n: at most n (section 7)."""
    del place
    if isinstance(value, bool):
        return None if value else 1
    if not isinstance(value, int) or value < 1:
        raise wrong("true, false or a whole number from 1", value)
    return value


def retry(value: Value, place: Place) -> Retry:
    """Three attempts unless it says otherwise (section 2); unknown keys are surprising only."""
    return Retry(**{"max_attempts": 3, **read_mapping(value, place, RETRY, what="retry", lenient=True)})


def on_error(value: Value, place: Place) -> OnError:
    """What a failure does (section 8)."""
    return OnError(choice(*(word.value for word in OnError))(value, place))


def shell_text(value: Value, place: Place) -> Template:
    """A template for the operating system, which knows no NUL."""
    return Template.parse(_without_nul(text(value, place)))


def command(value: Value, place: Place) -> Template:
    """A shell command that is not blank."""
    return Template.parse(_without_nul(words(value, place)))


def _without_nul(found: str) -> str:
    if "\0" in found:
        raise RefusedError(f"must not contain a NUL character; found {shown(found)}")
    return found


def env_value(value: Value, place: Place) -> Template:
    """Text, or a number or boolean, which becomes text as the other engine has it."""
    if isinstance(value, (bool, int, float)):
        if isinstance(value, bool):
            place.warn(f"the variable will be '{value}'; quote the value to choose its spelling")
        return Template(str(value))
    return shell_text(value, place)


def signal_name(value: Value, place: Place) -> str:
    """``TERM``, or ``SIGTERM``."""
    name = text(value, place).upper().removeprefix("SIG")
    if f"SIG{name}" not in signal.Signals.__members__ or name in ("STOP", "CONT", "CHLD"):
        raise RefusedError(f"names a signal that ends a process, such as TERM, INT or HUP; found {shown(value)}")
    return name


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def duration(value: Value, place: Place) -> float:
    """``45m``, ``1h30m``, or a number of seconds, above 0 (section 12)."""
    if isinstance(value, str) and re.fullmatch(f"(?:{_DURATION.pattern}){{1,5}}", value):
        value = sum(float(amount) * _UNITS[unit] for amount, unit in _DURATION.findall(value))
    if isinstance(value, str):
        raise RefusedError(f"takes a duration such as '90s', '45m' or '1h30m', or seconds; found {shown(value)}")
    return float(number(0, above=True)(value, place))


def preference(value: Value, place: Place) -> dict[str, Value]:
    """``{provider, model?}`` or ``{class}`` (section 2)."""
    found = read_mapping(value, place, PREFERENCE, what="a provider preference")
    if ("class" in found) == ("provider" in found):
        place.error("takes either 'provider' (and perhaps 'model') or 'class'")
    if "class" in found and "model" in found:
        place.error("'model' goes with 'provider', not with 'class'")
    return found


def preferences(value: Value, place: Place) -> tuple[dict[str, Value], ...]:
    """At least one preference."""
    if not sequence(value, place):
        raise RefusedError("needs at least one entry")
    found: tuple[dict[str, Value], ...] = each(preference)(value, place)
    return found


def rate_limiting(value: Value, place: Place) -> RateLimiting:
    """Pacing (section 9)."""
    found = RateLimiting(**read_mapping(value, place, RATE_LIMITING, what="rate_limiting"))
    if found.backoff.max_delay_ms < found.backoff.initial_delay_ms:
        place.key("backoff").key("max_delay_ms").error(
            f"must be at least initial_delay_ms ({found.backoff.initial_delay_ms}); found {found.backoff.max_delay_ms}"
        )
    return found


def orchestrator(value: Value, place: Place) -> dict[str, Value]:
    """Passed through to backends; one key of it has a meaning here (section 1)."""
    found = mapping(value, place)
    read_mapping(found, place, ORCHESTRATOR, what="orchestrator", lenient=True)
    return found


def orchestrator_config(value: Value, place: Place) -> dict[str, Value]:
    """Any keys; ``min_delay_between_calls_ms`` is a number that is not negative."""
    found = mapping(value, place)
    read = whole(0)
    if (delay := found.get("min_delay_between_calls_ms")) is not None:
        try:
            read(delay, place)
        except RefusedError as refused:
            place.key("min_delay_between_calls_ms").error(str(refused))
    return found


def approval(value: Value, place: Place) -> Approval:
    """A gate, with a question if it is required (section 10)."""
    found = Approval(**read_mapping(value, place, APPROVAL, what="approval"))
    if found.required and not (found.prompt and found.prompt.source.strip()):
        place.error("an approval that is required needs a 'prompt', the question to the person")
    return found


# --- tables ------------------------------------------------------------------------------------------------------

RETRY: Table = {
    "max_attempts": Field(whole(1)),
    "backoff": Field(choice("exponential", "linear")),
    "initial_delay": Field(number(0)),
    "max_delay": Field(number(0)),
}

RECURSION: Table = {
    "max_depth": Field(whole(1, 20)),
    "max_total_steps": Field(whole(1, 1000)),
}

BACKOFF: Table = {
    "enabled": Field(flag),
    "initial_delay_ms": Field(whole(100)),
    "max_delay_ms": Field(whole(1)),
    "multiplier": Field(number(1)),
    "reset_after_success": Field(whole(1)),
}

RATE_LIMITING: Table = {
    "max_concurrent_llm": Field(whole(1, 100)),
    "min_delay_ms": Field(whole(0, 60000)),
    "backoff": Field(record(Backoff, BACKOFF, "backoff")),
}

ORCHESTRATOR: Table = {
    "config": Field(orchestrator_config),
    "min_delay_between_calls_ms": Field(whole(0)),
}

LIMITS: Table = {
    "deadline": Field(duration),
    "cost_usd": Field(number(0, above=True)),
    "tokens": Field(whole(1)),
}

APPROVAL: Table = {
    "required": Field(flag),
    "prompt": Field(template),
    "timeout": Field(number(0)),
    "default": Field(choice("approve", "deny")),
    "by": Field(choice("anyone", "human")),
}

PREFERENCE: Table = {
    "provider": Field(words),
    "model": Field(words),
    "class": Field(choice("reasoning", "fast", "vision", "research")),
}

_STEP_ID = matching(r"[A-Za-z0-9_-]+", "letters, digits, '-' and '_' only")

COMMON: Table = {
    "id": Field(_STEP_ID, required=True),
    "type": Field(choice("agent", "bash", "recipe", "function")),
    "output": Field(variable),
    "condition": Field(expression),
    "timeout": Field(number(0, above=True)),
    "retry": Field(retry),
    "on_error": Field(on_error),
    "depends_on": Field(each(text)),
    "parse_json": Field(flag),
    "on_interrupt": Field(choice("rerun", "ask", "skip", "fail")),
    "on_resume": Field(choice("reuse", "rerun")),
}
"""Fields of every kind of step (sections 2 and 12), but for its loop."""

LOOP: Table = {
    "foreach": Field(template_words),
    "as": Field(variable),
    "collect": Field(variable),
    "max_iterations": Field(whole(1)),
    "parallel": Field(parallel),
    "checkpoint_iterations": Field(flag),
    "while_condition": Field(expression),
    "max_while_iterations": Field(whole(1, 1000)),
    "break_when": Field(expression),
    "update_context": Field(mapping_of(variable, template)),
}
"""A step's loop (section 7), but for its body, which needs the reader of steps."""

AGENT: Table = {
    "agent": Field(words, required=True),
    "prompt": Field(template_words, required=True, placeholder=Template("")),
    "mode": Field(text),
    "agent_config": Field(mapping),
    "provider": Field(words),
    "model": Field(words),
    "provider_preferences": Field(preferences),
    "model_role": Field(words),
    "spawn_mode": Field(choice("subprocess")),
}

BASH: Table = {
    "command": Field(command, required=True, placeholder=Template("")),
    "cwd": Field(shell_text),
    "env": Field(mapping_of(matching(r"[^=\0]+", "a name of an environment variable"), env_value)),
    "env_from_context": Field(each(variable)),
    "output_exit_code": Field(variable),
    "kill_grace": Field(number(0, 60)),
    "stop_signal": Field(signal_name),
    "background": Field(choice("session", "kill")),
}

RECIPE: Table = {
    "recipe": Field(command, required=True, placeholder=Template("")),
    "context": Field(mapping),
    "recursion": Field(record(Recursion, RECURSION, "recursion")),
}

FUNCTION: Table = {
    "function": Field(matching(r"[\w.-]+(?::\w+(?:\.\w+)*)?", "a name, or package.module:callable"), required=True),
    "args": Field(mapping),
}

KINDS: dict[str, Table] = {"agent": AGENT, "bash": BASH, "recipe": RECIPE, "function": FUNCTION}
"""The fields that belong to one kind of step."""

DOCUMENT: Table = {
    "name": Field(matching(r"[\w-]+", "letters, digits, '-' and '_' only", 100), required=True),
    "description": Field(words, required=True),
    "version": Field(version, required=True),
    "author": Field(text),
    "created": Field(text),
    "updated": Field(text),
    "tags": Field(each(text)),
    "context": Field(mapping),
    "recursion": Field(record(Recursion, RECURSION, "recursion")),
    "rate_limiting": Field(rate_limiting),
    "orchestrator": Field(orchestrator),
    "secrets": Field(each(variable)),
    "limits": Field(record(Limits, LIMITS, "limits")),
}
"""The document, but for its steps and stages."""

SCHEDULE: Table = {
    "schedule": Field(choice("order", "graph")),
    "max_parallel_steps": Field(whole(1)),
}
"""What a recipe and a stage share, but for their steps (section 12)."""

STAGE: Table = {
    "name": Field(matching(r"(?! *$)[A-Za-z0-9_ -]+", "letters, digits, '-', '_' and spaces only", 100), required=True),
    "approval": Field(approval),
}
"""A stage, but for its steps (section 1)."""
