r"""Templates: text with ``{{a.b.c}}`` references (recipe-language.md section 4).

A reference is ``\w+`` parts joined by dots, without spaces inside the braces; everything else in braces is text.
There is no escaping, no filter and one pass only: what a value contains is never looked at again.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from attrs import field

from trio_recipes.classes import frozen
from trio_recipes.errors import TemplateError
from trio_recipes.language.wording import did_you_mean, kind_of, listed, shown

if TYPE_CHECKING:
    from trio_recipes.values import Value, Variables

REFERENCE = re.compile(r"\{\{(\w+(?:\.\w+)*)\}\}")
"""One reference; its group is the dotted name."""


@frozen
class Template:
    """A parsed text. Make one with :meth:`parse`.

    Args:
        source: the text as it was written.
        references: the dotted names it refers to, in order, repetitions included.
    """

    source: str
    references: tuple[str, ...] = ()
    _literals: tuple[str, ...] = field(default=(), repr=False, eq=False)

    @classmethod
    def parse(cls, text: str) -> Template:
        """Any text is a template; nothing in it can be wrong."""
        if "{{" not in text:
            return cls(text)
        parts = REFERENCE.split(text)
        return cls(text, tuple(parts[1::2]), tuple(parts[::2]))

    @property
    def is_single_reference(self) -> bool:
        """Whether the whole text is exactly one reference, so that :meth:`value` keeps its type."""
        return self._literals == ("", "")

    def render(self, variables: Variables) -> str:
        """The text with each reference replaced.

        Raises:
            TemplateError: for a name that is unknown, or a part of something that is no mapping.
        """
        if not self.references:
            return self.source
        pieces = [self._literals[0]]
        for reference, literal in zip(self.references, self._literals[1:], strict=True):
            pieces.append(as_text(look_up(reference, variables)))
            pieces.append(literal)
        return "".join(pieces)

    def value(self, variables: Variables) -> Value:
        """Like :meth:`render`, but a text that is exactly one reference gives the variable itself."""
        if self.is_single_reference:
            return look_up(self.references[0], variables)
        return self.render(variables)


def as_text(value: Value) -> str:
    """How a value stands in a text: booleans as true/false, mappings and lists as JSON, the rest as ``str``."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def look_up(reference: str, variables: Variables) -> Value:
    """The value of ``a.b.c``.

    Raises:
        TemplateError: naming what there is instead (section 4).
    """
    name, *parts = reference.split(".")
    if name not in variables:
        raise TemplateError(_unknown(name, variables))
    value = variables[name]
    for depth, part in enumerate(parts):
        if not isinstance(value, dict) or part not in value:
            holder = ".".join([name, *parts[:depth]])
            raise TemplateError(_no_such_part(reference, holder, part, value))
        value = value[part]
    return value


def render_tree(value: Value, variables: Variables) -> Value:
    """Render every text in nested mappings and lists; one that is exactly one reference keeps its type.

    Used for ``context`` and ``args`` (section 4). Keys are not templates.
    """
    if isinstance(value, str):
        return Template.parse(value).value(variables) if "{{" in value else value
    if isinstance(value, dict):
        return {key: render_tree(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [render_tree(item, variables) for item in value]
    return value


def _unknown(name: str, variables: Variables) -> str:
    message = f"there is no variable {name!r}{did_you_mean(name, variables)} (there are: {listed(variables)})"
    skipped = variables.get("_skipped_steps")
    if not isinstance(skipped, list) or not skipped:
        return message
    return f"{message}; a step that is skipped sets nothing: skipped are {listed(map(str, skipped))}"


def _no_such_part(reference: str, holder: str, part: str, value: Value) -> str:
    braces = f"{{{{{reference}}}}}"
    if isinstance(value, dict):
        return f"{braces}: {holder!r} has no key {part!r}{did_you_mean(part, value)} (it has: {listed(value)})"
    return (
        f"{braces}: {holder!r} is {kind_of(value)} ({shown(value)}), not a mapping, so it has no {part!r}; "
        f"the step that produces {holder!r} may need parse_json: true"
    )
