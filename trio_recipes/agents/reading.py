"""One entry of an agents file, checked: an agent (or many, by a glob), a provider, or a role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from trio_recipes.agents.backends.replay import ReplayBackend
from trio_recipes.agents.entry import Entry
from trio_recipes.agents.kinds import KINDS, Made
from trio_recipes.agents.provider import CLASSES, Provider
from trio_recipes.agents.settings import KEYS, TARGETS, Settings
from trio_recipes.language.fields import (
    Field,
    RefusedError,
    choice,
    each,
    mapping_of,
    number,
    read_fields,
    whole,
    words,
)
from trio_recipes.language.schema import preference, preferences
from trio_recipes.language.wording import did_you_mean, kind_of, listed, shown

if TYPE_CHECKING:
    from trio_recipes.language.fields import Table
    from trio_recipes.language.report import Place
    from trio_recipes.runtime.ports import AgentBackend
    from trio_recipes.values import Value


SETTINGS: Final[Table] = {
    "model": Field(words),
    "system": Field(words),
    "temperature": Field(number(0)),
    "max_tokens": Field(whole(1)),
    "tools": Field(each(words)),
}
"""What any agent may have."""

CHOICE: Final[Table] = {
    "provider": Field(words),
    "class": Field(choice(*CLASSES)),
    "model_role": Field(words),
    "provider_preferences": Field(preferences),
}
"""How an agent without a backend of its own gets one."""

MODELS: Final[Table] = {"model": Field(words), "models": Field(mapping_of(words, words))}
"""What a provider has besides its kind's fields."""

REPLAY: Final[Table] = {"session": Field(words, required=True, placeholder="")}

BACKENDS: Final = (*KINDS, "replay")


def read_entry(value: Value, place: Place, *, trusted: bool) -> Entry | None:
    """An entry of ``agents``, or None with the reasons reported at their places.

    Args:
        value: a mapping; or just the name of a backend or a provider.
        place: where it stands.
        trusted: False in files of the project, which must not send the user's keys anywhere.
    """
    origin = place.report.file or ""
    if isinstance(value, str):
        value = {"backend" if value in BACKENDS else "provider": value}
    fields = _mapping(value, place, trusted)
    if fields is None:
        return None
    if "backend" in fields:
        pinned = _provider("", fields, place, SETTINGS | MODELS, trusted)
        settings = _known(fields, place, {name: field for name, field in SETTINGS.items() if name != "model"})
        return Entry(pinned, settings, origin) if pinned else None
    return Entry(None, _own(fields, place), origin)


def read_provider(name: str, value: Value, place: Place, *, trusted: bool) -> Provider | None:
    """An entry of ``providers``, or None with the reasons reported; arguments as for :func:`read_entry`."""
    fields = _mapping({"backend": value} if isinstance(value, str) else value, place, trusted)
    return _provider(name, fields, place, MODELS, trusted) if fields is not None else None


def read_role(value: Value, place: Place) -> tuple[Mapping[str, Value], ...]:
    """An entry of ``roles``: one preference, or several in order."""
    try:
        return preferences(value, place) if isinstance(value, list) else (preference(value, place),)
    except RefusedError as refused:
        place.error(str(refused))
        return ()


# --- the parts ---------------------------------------------------------------------------------------------------


def _mapping(value: Value, place: Place, trusted: bool) -> dict[str, Value] | None:
    if not isinstance(value, dict):
        place.error(f"must be a mapping with 'backend' or 'provider', found {kind_of(value)} ({shown(value)})")
        return None
    if "api_key" in value:
        place.key("api_key").error("keys come from the environment only: name the variable, in api_key_env")
        return None
    return value if trusted or _keeps_keys_safe(value, place) else None


def _keeps_keys_safe(fields: Mapping[str, Value], place: Place) -> bool:
    """A project's files pair no key with anything: not with an endpoint or program, nor with a maker's own address."""
    key, target = KEYS & fields.keys(), TARGETS & fields.keys()
    if key:
        what = f"{listed(target)} together with {listed(key)}" if target else listed(key)
        place.error(
            f"a project's file can't say {what}: it could send your keys "
            "anywhere. Move the entry to ~/.config/trio_recipes/agents.yaml, or into a file for --agents"
        )
    return not key


def _own(fields: dict[str, Value], place: Place) -> Settings:
    """The settings of an agent that the providers answer."""
    table = SETTINGS | CHOICE
    for name in fields.keys() - table.keys():
        near = did_you_mean(name, (*table, "backend"))
        place.key(name).error(f"an agent without 'backend' has no field {name!r}{near} (it has: {listed(table)})")
    if not fields:
        place.error("says nothing: name a 'backend' or a 'provider'")
    if len({"provider", "provider_preferences", "class", "model_role"} & fields.keys()) > 1:
        place.error("takes one of 'provider', 'provider_preferences', 'class' and 'model_role'")
    return _known(fields, place, table)


def _known(fields: Mapping[str, Value], place: Place, table: Table) -> dict[str, Any]:
    """The fields of a table, as JSON values."""
    mine = {name: fields[name] for name in fields if name in table}
    read = read_fields(mine, place, table, what="the agent")
    return {name: list(value) if isinstance(value, tuple) else value for name, value in read.items()}


def _provider(name: str, fields: dict[str, Value], place: Place, more: Table, trusted: bool) -> Provider | None:
    kind = fields.get("backend")
    if not isinstance(kind, str) or kind not in BACKENDS:
        _no_such_kind(kind, place.key("backend"))
        return None
    own = REPLAY if kind == "replay" else KINDS[kind].table
    before = len(place.report.problems)
    _only(fields, place, kind, own, more)
    given = read_fields(fields, place, own, what=f"backend {kind!r}")
    models = read_fields(fields, place, MODELS, what=f"backend {kind!r}")
    otherwise = _otherwise(fields, place, trusted) if kind == "replay" else None
    if len(place.report.problems) > before:
        return None
    made = Made(ReplayBackend(given["session"], otherwise)) if kind == "replay" else KINDS[kind].make(given)
    origin = place.report.file or ""
    return Provider(
        name or kind,
        made.backend,
        kind,
        key=made.key,
        target=made.target,
        program=made.program,
        origin=origin,
        **models,
    )


def _otherwise(fields: Mapping[str, Value], place: Place, trusted: bool) -> AgentBackend | None:
    if "otherwise" not in fields:
        return None
    found = read_provider("", fields["otherwise"], place.key("otherwise"), trusted=trusted)
    return found.backend if found else None


def _only(fields: Mapping[str, Value], place: Place, kind: str, own: Table, more: Table) -> None:
    known = {"backend", *own, *more, *(("otherwise",) if kind == "replay" else ())}
    for name in fields.keys() - known:
        has = f"(it has: {listed(own)})" if own else "(it has no fields)"
        place.key(name).error(f"backend {kind!r} has no field {name!r}{did_you_mean(name, known)} {has}")


def _no_such_kind(kind: Value, place: Place) -> None:
    if kind is None:
        place.error(f"missing; it is one of: {listed(BACKENDS)}")
        return
    near = did_you_mean(kind, BACKENDS) if isinstance(kind, str) else ""
    place.error(f"there is no backend {shown(kind)}{near} (there are: {listed(BACKENDS)})")
