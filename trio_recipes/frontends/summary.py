"""Results as an agent gets them: summaries, since its context is small and the session keeps everything.

By recipe-language.md section 11, strings over 10 KB are cut with a note, larger structures become a preview with their
size. Pure; secrets are hidden by the caller, before anything is cut.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from trio_recipes.progress.frame import ENGINE_KEYS

if TYPE_CHECKING:
    from trio_recipes.language.model import Recipe
    from trio_recipes.values import Value

LIMIT: Final = 10_000
"""Characters of a text, or of a structure's JSON, that are shown whole."""

PREVIEW: Final = 500
"""Characters shown of a structure that is larger."""

CUT_NOTE: Final = "\n\n[... truncated, see session for full output]"


def shortened(value: Value) -> Value:
    """``value`` if it is small, else its beginning and its size."""
    if isinstance(value, str):
        return value if len(value) <= LIMIT else value[:LIMIT] + CUT_NOTE
    if not isinstance(value, (dict, list)):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= LIMIT else _preview(value, text)


def _preview(value: Mapping[str, Value] | Sequence[Value], text: str) -> dict[str, Value]:
    size = len(text.encode("utf-8", "surrogatepass"))
    return {
        "_truncated": True,
        "_type": type(value).__name__,
        "_full_size_bytes": size,
        "_preview": f"{text[:PREVIEW]}...",
        "_message": f"{size} bytes of JSON with {len(value)} entries; the session has all of it",
    }


def summary_of(recipe: Recipe, variables: Mapping[str, Value], final_output: Value) -> dict[str, Any]:
    """What a finished run came to.

    Args:
        recipe: the session's own.
        variables: the final ones, the engine's own among them; without secrets.
        final_output: as ``SessionResult.final_output``; without secrets.
    """
    session = variables.get("session")
    optional = {
        "last_stage": variables.get("stage"),
        "last_step": variables.get("step"),
        "skipped_steps": variables.get("_skipped_steps"),
        "final_output_key": _output_key(recipe, variables),
    }
    return {
        "session": session,
        "recipe_metadata": variables.get("recipe"),
        **{name: shortened(value) for name, value in optional.items() if value},
        "final_output": shortened(final_output),
        "available_outputs": shortened([name for name in variables if _is_output(name)]),
        "full_results_location": _location(session),
    }


def _output_key(recipe: Recipe, variables: Mapping[str, Value]) -> str | None:
    """The variable that the final output stands in, if it is the last step's."""
    if "final_output" in variables:
        return None
    steps = recipe.stages[-1].steps if recipe.stages else recipe.steps
    return steps[-1].output if steps and steps[-1].output in variables else None


def _is_output(name: str) -> bool:
    return name not in ENGINE_KEYS and not name.startswith("_")


def _location(session: Value) -> str:
    name = session["id"] if isinstance(session, dict) else "SESSION"
    return f"the session has every output in full: trio-recipes show {name} --json"
