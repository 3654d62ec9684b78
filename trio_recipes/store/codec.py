"""Event <-> row. JSON by cattrs, defaults left out, unknown fields ignored on reading."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from trio_recipes.errors import StoreTooNewError, StoreUnusableError
from trio_recipes.events import KINDS, VERSION, ApprovalDecided, Cancellation, Event, Holdout, Level, Stamped
from trio_recipes.failure import Failure
from trio_recipes.progress.masked import shown
from trio_recipes.progress.times import iso
from trio_recipes.store.damage import is_time

if TYPE_CHECKING:
    from trio_recipes.store.sums import EventRow

_PARTS = (Failure, Cancellation, Holdout)
"""Of events."""
_PLAIN = override(struct_hook=lambda value, _kind: value, unstruct_hook=lambda value: value)
_COLUMNS = override(omit=True)  # path and data have columns of their own


def _make_converter() -> cattrs.Converter:
    """Hooks are generated code: each is made when its class is first met."""
    converter = cattrs.Converter(detailed_validation=False)

    def unstructure(kind: type[Any]) -> Callable[[Any], Any]:
        return make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=True, **_how(kind))

    def structure(kind: type[Any]) -> Callable[[Any, Any], Any]:
        hook = make_dict_structure_fn(kind, converter, **_how(kind))
        return _or_name(hook) if kind is Holdout else hook

    converter.register_unstructure_hook_factory(_is_stored, unstructure)
    converter.register_structure_hook_factory(_is_stored, structure)
    return converter


def _is_stored(kind: Any) -> bool:
    return isinstance(kind, type) and (kind in _PARTS or issubclass(kind, Event))


def _how(kind: type[Any]) -> dict[str, Any]:
    fields = {field.name for field in attrs.fields(kind)}
    how = {name: _PLAIN for name in ("value", "shown", "context") if name in fields}
    if issubclass(kind, Event):
        how |= {name: _COLUMNS for name in ("path", "data") if name in fields}
    return how


def _or_name(structure: Callable[..., Holdout]) -> Callable[..., Holdout]:
    """The first release wrote ``PATH: what`` for what still ran."""

    def read(value: Any, kind: type[Holdout]) -> Holdout:
        return Holdout("", value) if isinstance(value, str) else structure(value, kind)

    return read


_converter = _make_converter()
_to_json = json.JSONEncoder(separators=(",", ":")).encode  # ASCII: lone surrogates in outputs survive as escapes
_from_json = json.JSONDecoder().decode


def to_row(stamped: Stamped) -> EventRow:
    """An event as a row of the events table."""
    event = stamped.event
    body = _to_json(_converter.unstructure(event))
    return (stamped.seq, stamped.run, stamped.at, event.name, event.path, body, getattr(event, "data", None) or None)


def _check_columns(row: tuple[object, ...], kind: type[Event] | None) -> None:
    """SQLite's columns hold whatever a damaged page says that they hold."""
    _, run, at, _, path, _, data = row
    fits = isinstance(run, int) and is_time(at) and isinstance(path, str) and isinstance(data, bytes | None)
    if kind is None or not fits:
        raise TypeError("it holds what no event holds")


def from_row(row: EventRow) -> Stamped:
    """A row of the events table as an event.

    Raises:
        StoreTooNewError: for a kind of event this version does not know.
        StoreUnusableError: for a row that no version wrote.
    """
    seq, run, at, name, path, body, data = row
    kind = KINDS.get(name)
    if kind is None and name and str(name).isidentifier():
        raise StoreTooNewError(f"the session has an event {name!r}, written by a newer trio_recipes: upgrade")
    try:
        _check_columns(row, kind)
        assert kind is not None
        event = _converter.structure(_from_json(body), kind)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"[:200]
        raise StoreUnusableError(f"event {seq} of the session can't be read ({what}): its file is damaged") from error
    changes: dict[str, Any] = {"path": path}
    if data is not None:
        changes["data"] = data
    return Stamped(seq, run, at, _with(event, changes))


def _with(event: Event, changes: Mapping[str, Any]) -> Event:
    for name, value in changes.items():
        object.__setattr__(event, name, value)  # fresh from the converter: nobody has seen it yet
    return event


def to_public(stamped: Stamped, session_id: str) -> dict[str, Any]:
    """The JSON that ``--json`` prints and hooks see."""
    event = shown(stamped).event
    head = {
        "v": VERSION,
        "seq": stamped.seq,
        "session_id": session_id,
        "run": stamped.run,
        "event": event.name,
        "path": event.path,
        "at": iso(stamped.at),
    }
    body: dict[str, Any] = _converter.unstructure(event)
    data = getattr(event, "data", None)
    if data is not None:
        body["text"] = data.decode("utf-8", "replace")
    if body.get("cancellation"):
        body["cancellation"]["level"] = Level(body["cancellation"]["level"]).name.lower()
    return head | {name: value for name, value in body.items() if name not in head}


def cancellation_from_json(body: Mapping[str, Any]) -> Cancellation:
    """A request's JSON as the class; what other doors wrote is read leniently."""
    return _converter.structure(body, Cancellation)


def cancellation_to_json(cancellation: Cancellation) -> dict[str, Any]:
    """A cancellation as a request's JSON."""
    body: dict[str, Any] = _converter.unstructure(cancellation)
    return body


def decision_from_json(body: Mapping[str, Any]) -> ApprovalDecided:
    """A decision's JSON, with its ``path``, as the event."""
    return ApprovalDecided(
        path=body["path"],
        approved=body["approved"],
        by=body.get("by", ""),
        via=body.get("via", ""),
        message=body.get("message", ""),
    )
