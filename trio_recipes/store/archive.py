"""One session as one text file: JSON Lines, without secrets, for another machine or another time.

::

    {"trio_recipes_archive": 1, "session_id": "…"}
    [seq, run, at, event, path, body, data in base64 or null]         one line an event, in order
    {"events": 12, "masked": ["step", …], "damage": null, "crc": 2774363562}

The events are a prefix of the session's: all of them, unless its database was damaged or the file was cut off. Any
prefix is a session that a crash could have left. ``masked`` names the scopes whose result held a secret. ``crc`` is the
check sum of the lines before (zlib's, of UTF-8, with the ends of lines); older versions wrote none.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeGuard
from zlib import crc32

from attrs import field

from trio_recipes.classes import define, frozen
from trio_recipes.errors import ArchiveError, StoreError
from trio_recipes.events import Event, Output, ScopeFinished, SessionCreated, Stamped
from trio_recipes.progress.masked import shown
from trio_recipes.store import records
from trio_recipes.store.codec import from_row, to_row
from trio_recipes.store.damage import UNREADABLE, RecordError

if TYPE_CHECKING:
    from trio_recipes.store.session_file import SessionFile

VERSION: Final = 1
_MARK: Final = "trio_recipes_archive"


@frozen
class Ending:
    """The last line of an archive.

    Args:
        events: how many there are.
        masked: scopes whose result held a secret, which is not in the archive.
        damage: why the events after these could not be read, or None if these are all.
    """

    events: int
    masked: tuple[str, ...] = ()
    damage: str | None = None


# --- writing -----------------------------------------------------------------------------------------------------


def write_archive(file: SessionFile, stream: TextIO) -> Ending:
    """Write a session, as far as it can be read.

    Raises:
        SessionNotFoundError: if there is no such session.
        StoreUnusableError: if not even its first event can be read.
    """
    reader, out = _Reader(file), _Summed(stream)
    out.line(json.dumps({_MARK: VERSION, "session_id": file.session_id}))
    masked: dict[str, None] = {}
    count = 0
    for stamped in reader.events():
        if _holds_secret(stamped.event):
            masked[stamped.event.path] = None
        out.line(_line(shown(stamped)))
        count += 1
    if not count:
        raise file.damaged(reader.damage or "it has no events")
    ending = Ending(count, tuple(masked), reader.damage)
    out.line(json.dumps({"events": count, "masked": ending.masked, "damage": ending.damage, "crc": out.crc}))
    return ending


@define(eq=False)
class _Summed:
    """Lines on their way out, and their check sum so far."""

    stream: TextIO
    crc: int = field(default=0, init=False)

    def line(self, text: str) -> None:
        print(text, file=self.stream)
        self.crc = _sum(f"{text}\n", self.crc)


def _sum(line: str, before: int) -> int:
    return crc32(line.encode("utf-8", "surrogatepass"), before)


@define(eq=False)
class _Reader:
    """Reads events until the end, or until one can't be read."""

    file: SessionFile
    damage: str | None = field(default=None, init=False)

    def events(self) -> Iterator[Stamped]:
        with self.file.reading() as connection:
            try:
                yield from map(from_row, records.events(connection, self.file.session_id))
            except (*UNREADABLE, RecordError, StoreError) as error:
                self.damage = str(error)[:500]


def _holds_secret(event: Event) -> bool:
    return bool(event.secrets) if isinstance(event, Output) else isinstance(event, ScopeFinished) and bool(event.shown)


def _line(stamped: Stamped) -> str:
    *head, body, data = to_row(stamped)
    return json.dumps([*head, json.loads(body), None if data is None else base64.b64encode(data).decode()])


# --- reading -----------------------------------------------------------------------------------------------------


@define(eq=False)
class ArchiveReader:
    """Reads and checks an archive, which may come from anywhere.

    Args:
        lines: of the file.

    Attributes:
        session_id: whose it is.
        ending: what the last line says; made up from what was there if the file was cut off.
    """

    lines: Iterator[str]
    session_id: str = field(init=False)
    ending: Ending | None = field(default=None, init=False)
    _crc: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        first = next(self.lines, "")
        head, self._crc = _parsed(first, 1), _sum(first, 0)
        if not isinstance(head, dict) or not isinstance(head.get("session_id"), str) or _MARK not in head:
            raise ArchiveError("line 1: this is no session that trio-recipes exported")
        if head[_MARK] != VERSION:
            raise ArchiveError(f"written by a newer trio_recipes (archive {head[_MARK]!r}): upgrade")
        self.session_id = head["session_id"]

    def events(self) -> Iterator[Stamped]:
        """The events, in order; afterwards there is an ``ending``.

        Raises:
            ArchiveError: at the first line that no export wrote.
        """
        number = 0
        for number, line in enumerate(self.lines, 1):
            if not line.endswith("\n"):
                break
            value = _parsed(line, number + 1)
            if isinstance(value, dict):
                self.ending = _ending(value, number - 1, self._crc)
                return
            self._crc = _sum(line, self._crc)
            yield self._event(value, number)
        self.ending = Ending(number, damage="the file was cut off")

    def _event(self, value: Any, number: int) -> Stamped:
        try:
            *head, body, data = value
            seq, run, at, name, path = head
            content = None if data is None else base64.b64decode(data, validate=True)
            types = (int, int, int, str, str)
            if seq != number or not all(type(part) is kind for part, kind in zip(head, types, strict=True)):
                raise ValueError("its head is not as it should be")
            stamped = from_row((seq, run, at, name, path, json.dumps(body), content))
        except (StoreError, ValueError, TypeError) as error:
            raise ArchiveError(f"line {number + 1}: {error}") from error
        created = stamped.event
        if (number == 1) != isinstance(created, SessionCreated):
            raise ArchiveError(f"line {number + 1}: a session begins with session_created, once")
        if isinstance(created, SessionCreated) and created.session_id != self.session_id:
            raise ArchiveError("line 2: this is another session than the first line says")
        return stamped


def _parsed(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"line {number}: this is not JSON: {error}") from None


def _ending(value: dict[str, Any], count: int, crc: int) -> Ending:
    masked, damage = value.get("masked"), value.get("damage")
    if value.get("events") != count or not _is_texts(masked) or not (damage is None or isinstance(damage, str)):
        raise ArchiveError(f"line {count + 2}: the last line does not fit the {count} events before it")
    if value.get("crc", crc) != crc:
        raise ArchiveError(f"the {count + 1} lines before the last one are not what was exported: their sum differs")
    return Ending(count, tuple(masked), damage)


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
