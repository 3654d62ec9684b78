"""From a bash step and its variables to the command that the kernel is asked for, and what can't be asked of it."""

from __future__ import annotations

import json
import os
import signal
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trio_recipes.failure import Failure, FailureKind
from trio_recipes.language.template import as_text, look_up
from trio_recipes.processes import Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trio_recipes.language.model import BashStep
    from trio_recipes.runtime.ports import LeafCall
    from trio_recipes.values import Value, Variables

LONGEST: Final = 131_071
"""Bytes of one argument or one ``NAME=value``: Linux's MAX_ARG_STRLEN, without the zero byte at its end."""

INTERPRETER: Final = ("AMPLIFIER_PYTHON", "TRIO_RECIPES_PYTHON")
"""Variables that hold the running Python (recipe-language.md section 2, ``bash``)."""

BASICS: Final = ("HOME", "LANG", "PATH", "TMPDIR")
"""What a command can't well do without, and gets even if it inherits nothing else."""


def command_of(step: BashStep, call: LeafCall, *, inherit_env: bool | frozenset[str]) -> Command | Failure:
    """The command to run, or why there can't be one.

    Raises:
        TemplateError: a template refers to what there is not.
    """
    variables = call.frame.variables
    command = Command(
        argv=("/bin/bash", "-c", step.command.render(variables)),
        cwd=str(Path(call.project, step.cwd.render(variables) if step.cwd else "")),
        env=_environment(step, variables, inherit_env=inherit_env),
        session_id=call.session_id,
        key=call.key,
        attempt=call.attempt,
        kill_grace=step.kill_grace,
        stop_signal=signal.Signals[f"SIG{step.stop_signal.removeprefix('SIG')}"],
        background=step.background,
    )
    problem = next(chain(_disclosed(step, call), _problems(step, command)), None)
    if problem is None:
        return command
    return Failure(FailureKind.TEMPLATE, f"step '{step.id}': {problem}", retryable=False)


def _environment(step: BashStep, variables: Variables, *, inherit_env: bool | frozenset[str]) -> dict[str, str]:
    return {
        **_inherited(inherit_env),
        **dict.fromkeys(INTERPRETER, sys.executable),
        **{name: template.render(variables) for name, template in step.env.items()},
        **{name: _as_variable(look_up(name, variables)) for name in step.env_from_context},
    }


def _inherited(names: bool | frozenset[str]) -> Mapping[str, str]:
    if names is True:
        return os.environ
    return {name: os.environ[name] for name in {*BASICS, *(names or ())} if name in os.environ}


def _as_variable(value: Value) -> str:
    """A value as a shell reads it best: null is empty, true and false in lower case, lists and mappings are JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- what the kernel won't take, or would show to everybody ------------------------------------------------------


def _disclosed(step: BashStep, call: LeafCall) -> Iterator[str]:
    """Secrets on the command line, whatever variable they came by: any user of the machine can read that."""
    mask = call.frame.facts.vault.mask
    for reference in dict.fromkeys(step.command.references) if mask else ():
        text = as_text(look_up(reference, call.frame.variables))
        if mask.text(text) != text:
            name = reference.partition(".")[0]
            yield (
                f"{{{{{reference}}}}} holds the value of a secret, and a command is visible to other programs; "
                f'use env_from_context: [{name}] and "${name}"'
            )


def _problems(step: BashStep, command: Command) -> Iterator[str]:
    yield from _refused("cwd", command.cwd)
    yield from _refused("the command", command.argv[-1])
    for name in sorted({*step.env, *step.env_from_context}):
        yield from _refused(f"the environment variable {name!r}", f"{name}={command.env[name]}")
        if "=" in name or not name:
            yield f"env: {name!r} can't be the name of an environment variable"


def _unencodable(letter: str) -> str:
    if "\ud800" <= letter <= "\udfff":
        return "holds half of a surrogate pair, which has no UTF-8 form; clean the value it comes from"
    encoding = sys.getfilesystemencoding()
    return f"holds {letter!r}, which this process can't hand on, as its locale is {encoding}; set PYTHONUTF8=1 for it"


def _refused(what: str, text: str) -> Iterator[str]:
    if "\0" in text:
        yield f"{what} holds a NUL character, which ends a text for the system; hand such data over in a file"
        return
    try:
        size = len(os.fsencode(text))
    except UnicodeEncodeError as error:
        yield f"{what} {_unencodable(text[error.start])}"
        return
    if size > LONGEST:
        yield (
            f"{what} is {size:,} bytes long, and the system takes {LONGEST:,} at most. "
            "Have the step that produces the value write it to a file, and hand over the file's name"
        )
