"""Event <-> row: nothing is lost, whatever it holds; rows of other versions are read or refused."""

import datetime
import json
import typing

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_recipes.errors import StoreTooNewError
from trio_recipes.events import KINDS, Cancellation, CancelRequested, Event, Level, Output, ScopeFinished, Stamped
from trio_recipes.failure import Failure
from trio_recipes.progress.times import iso
from trio_recipes.store.codec import from_row, to_public, to_row

TEXT = st.text(st.characters(), max_size=20)  # lone surrogates included: outputs hold anything
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
LEVELS = st.sampled_from([Level.GRACEFUL, Level.IMMEDIATE])


def built(kind: type, **fields: st.SearchStrategy[typing.Any]) -> st.SearchStrategy[typing.Any]:
    """Instances of an attrs class, from the types of its fields."""
    hints = typing.get_type_hints(kind)
    return st.builds(
        kind, **{a.name: fields[a.name] if a.name in fields else _of(hints[a.name]) for a in attrs.fields(kind)}
    )


def _of(hint: typing.Any) -> st.SearchStrategy[typing.Any]:
    known = {str: TEXT, float: st.floats(allow_nan=False, allow_infinity=False), bytes: st.binary(max_size=20)}
    if hint in known:
        return known[hint]
    if hint is Failure or hint is Cancellation:
        return built(hint)
    if hint is Level:
        return LEVELS
    options = typing.get_args(hint)
    if type(None) in options:
        return st.none() | st.one_of([_of(option) for option in options if option is not type(None)])
    return st.from_type(hint)


EVENTS = st.one_of(
    [
        built(
            kind, path=st.just("audit/scan[3]"), value=JSON, shown=JSON, context=st.dictionaries(TEXT, JSON, max_size=3)
        )
        for kind in KINDS.values()
    ]
)


@given(st.integers(1), EVENTS)
def test_every_event_comes_back_as_it_was(seq: int, event: Event) -> None:
    stamped = Stamped(seq, 2, 1_700_000_000_123_456, event)
    row = to_row(stamped)
    assert from_row(row) == stamped
    row[5].encode("ascii")


@given(EVENTS)
def test_every_event_can_be_printed(event: Event) -> None:
    public = to_public(Stamped(1, 1, 0, event), "s-1")
    assert json.loads(json.dumps(public))["event"] == event.name


def test_unknown_fields_are_ignored() -> None:
    row = to_row(Stamped(1, 1, 0, ScopeFinished(path="a", status="completed")))  # type: ignore[arg-type]
    body = json.dumps(json.loads(row[5]) | {"from_the_future": 1})
    assert isinstance(from_row((*row[:5], body, None)).event, ScopeFinished)


def test_an_unknown_kind_says_to_upgrade() -> None:
    with pytest.raises(StoreTooNewError, match=r"'brewed'.*upgrade"):
        from_row((1, 1, 0, "brewed", "", "{}", None))


def test_what_is_default_takes_no_room() -> None:
    assert to_row(Stamped(1, 1, 0, Output(path="a", channel="stdout", data=b"x")))[5:] == ('{"channel":"stdout"}', b"x")


def test_levels_are_printed_by_name() -> None:
    public = to_public(Stamped(1, 1, 0, CancelRequested(cancellation=Cancellation(Level.IMMEDIATE))), "s")
    assert public["cancellation"]["level"] == "immediate"


@given(st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2100, 1, 1)))
def test_times_keep_their_microseconds(when: datetime.datetime) -> None:
    when = when.replace(tzinfo=datetime.UTC)
    at = round((when - datetime.datetime.fromtimestamp(0, datetime.UTC)) / datetime.timedelta(microseconds=1))
    assert datetime.datetime.fromisoformat(iso(at)) == when
