"""What a scope is about besides its step's definition: the item that a pass is for, the recipe that a call means.

Both come from variables. What a step makes that runs again (``on_resume: rerun``) may be another value than before, and
then what is recorded at a path was made for something else: a record counts only for what it was made for.

Digests are kept, not the things: items may be large, and secrets are hidden in them before.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING

from trio_recipes.errors import TemplateError
from trio_recipes.language.model import Foreach, RecipeStep

if TYPE_CHECKING:
    from trio_recipes.progress.asks import Pass
    from trio_recipes.progress.frame import Frame
    from trio_recipes.progress.record import Record
    from trio_recipes.values import Value


def item_of(ask: Pass) -> str:
    """A digest of the item that a pass of a ``foreach`` is for; '' for all else."""
    loop = ask.step.loop
    if not isinstance(loop, Foreach) or not ask.path.endswith("]"):
        return ""
    return _digest(ask.frame.variables[loop.variable], ask.frame)


def call_of(ask: Pass) -> str:
    """A digest of the recipe that a call names, where its path is a template; '' for all else.

    The name will do: it is relative to the recipe of the call, and in one session it means one text.
    """
    step = ask.step
    if not isinstance(step, RecipeStep) or not step.recipe.references:
        return ""
    try:
        return _digest(step.recipe.render(ask.frame.variables), ask.frame)
    except TemplateError:  # the call is going to fail with it
        return ""


def mismatch(record: Record, ask: Pass) -> str:
    """Why what is recorded does not count for ``ask``: it is about something else; '' if it does count."""
    if record.item and record.item != item_of(ask):
        return "made for another item"
    if record.calls and record.calls != call_of(ask):
        return "made by another recipe"
    return ""


def _digest(value: Value, frame: Frame) -> str:
    return blake2b(json.dumps(frame.facts.vault.mask.value(value)).encode(), digest_size=8).hexdigest()
