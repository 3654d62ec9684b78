"""The language as a JSON Schema (draft 2020-12), for the YAML servers of editors.

It is made from the tables that the loader reads by. It says what can be said of one key or of keys side by side; what
crosses steps (unique ids, known variables) only ``validate`` finds. ``errorMessage`` and ``doNotSuggest`` are words of
yaml-language-server; other readers of schemas ignore them.
"""

from __future__ import annotations

from trio_recipes.language.descriptions import DESCRIPTIONS
from trio_recipes.language.load import BLOCK, RECIPE
from trio_recipes.language.schema import COMMON, KINDS, LOOP, STAGE
from trio_recipes.language.shapes import (
    REFERENCE,
    Schema,
    excludes,
    form,
    given,
    or_null,
    properties,
    record,
    refused,
    required,
    shape,
)
from trio_recipes.language.steps import BODY, EXCLUDES, FINALLY, NEEDS

_EVERY_KIND = COMMON | LOOP | BODY | FINALLY
_EMPTY: Schema = {"enum": [None, False, 0, "", [], {}]}


def json_schema() -> Schema:
    """The schema of a recipe."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recipe of trio_recipes",
        **record(RECIPE, "document", lenient=True),
        "properties": _document_keys(),
        **_steps_or_stages(),
        "$defs": {"step": _step(), "stage": _stage()} | {f"{kind}_step": _kind(kind) for kind in KINDS},
    }


# --- document and stages -----------------------------------------------------------------------------------------


def _document_keys() -> Schema:
    """Of ``steps`` and ``stages`` one may be anything empty: the two sides of :func:`_steps_or_stages` say which."""
    one_of_two = {key: {"description": DESCRIPTIONS["document"][key]} for key in ("steps", "stages")}
    return properties(RECIPE, "document") | one_of_two


def _steps_or_stages() -> Schema:
    steps, stages = shape(RECIPE["steps"].read), shape(RECIPE["stages"].read)
    alone = _EMPTY | {"errorMessage": "stands together with 'stages'; a recipe has one of them"}
    return {
        "if": {"required": ["stages"], "properties": {"stages": {"not": _EMPTY}}},
        "then": {"properties": {"stages": stages, "steps": alone}},
        "else": {"properties": {"steps": steps}, "required": ["steps"]},
    }


def _stage() -> Schema:
    table = STAGE | BLOCK
    found = record(table, "stage", lenient=True)
    found["properties"]["steps"] = found["properties"]["steps"] | shape(table["steps"].read)
    return found | {"required": [*found["required"], "steps"]}


# --- steps -------------------------------------------------------------------------------------------------------


def _step() -> Schema:
    """The keys of every kind; those of one kind are let through here, and looked at by that kind."""
    keys = {key: True for table in KINDS.values() for key in table}
    rules = [*map(_where_it_is, KINDS), *_combinations()]
    found = record(_EVERY_KIND, "step", *rules)
    return found | {"properties": keys | found["properties"] | _loop_heads()}


def _loop_heads() -> Schema:
    """What steps.py asks of loops beyond what the readers of their keys do."""
    condition = rf"{REFERENCE}|^\s*[Tt][Rr][Uu][Ee]\s*$"
    message = "must refer to a variable, such as {{done}}, or be 'true'"
    items = form(rf"^\s*{REFERENCE}\s*$", "must be one reference to a list, such as '{{files}}'")
    heads = {
        "foreach": or_null(items),
        "while_condition": {"anyOf": [form(condition, message), {"enum": [True, None]}]},
    }
    return {key: {"description": DESCRIPTIONS["step"][key]} | head for key, head in heads.items()}


def _where_it_is(kind: str) -> Schema:
    is_kind: Schema = {"properties": {"type": {"const": kind}}, "required": ["type"]}
    if kind == "agent":
        is_kind = {"properties": {"type": {"enum": [kind, None]}}}
    return {"if": is_kind, "then": {"$ref": f"#/$defs/{kind}_step"}}


def _kind(kind: str) -> Schema:
    """One kind's own keys, which a loop with a body neither needs nor looks at, and none of another kind's."""
    return {
        "properties": _foreign(kind),
        "if": given("steps", "while_steps"),
        "else": {"properties": properties(KINDS[kind], kind), "required": required(KINDS[kind])},
    }


def _foreign(kind: str) -> Schema:
    owners = {key: owner for owner, table in KINDS.items() for key in table if key not in KINDS[kind]}
    return {
        key: refused(f"{kind} steps cannot have '{key}'; it belongs to {owner} steps") for key, owner in owners.items()
    }


def _combinations() -> list[Schema]:
    needs = [{"if": given(key), "then": given(*needed)} for key, needed in NEEDS.items()]
    return [*needs, *(excludes(key, other) for key, other in EXCLUDES)]
