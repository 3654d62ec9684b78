"""What a session says, all of it: compared before and after its files were damaged."""

from __future__ import annotations

import io
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from trio_recipes.errors import RecipesError
from trio_recipes.progress.standing import Standing
from trio_recipes.store import records
from trio_recipes.store.archive import write_archive
from trio_recipes.store.session_file import SessionFile
from trio_recipes.store.sums import EventRow


class Verdict(StrEnum):
    """What came of damage, for who reads the session."""

    REPORTED = "reported"
    HARMLESS = "harmless"
    EARLIER = "earlier"
    """The session is as it was some commits before: its log ends at its first damaged page."""
    WRONG = "wrong"


class Testimony(NamedTuple):
    """What a session says."""

    events: list[EventRow]
    requests: list[records.RequestRow]
    head: records.Head
    standing: Standing
    exported: list[str]


def hear(file: SessionFile) -> Testimony:
    """Read everything that there is of a session.

    Raises:
        RecipesError: if it can't be read.
    """
    with file.reading() as connection:
        return Testimony(
            file.rows(connection),
            records.requests(connection, file.session_id),
            records.head(connection, file.session_id),
            file.standing(connection),
            _exported(file),
        )


def _exported(file: SessionFile) -> list[str]:
    text = io.StringIO()
    write_archive(file, text)
    return text.getvalue().splitlines()[:-1]


def judge(file: SessionFile, truth: Testimony) -> Verdict:
    """What a session says now, beside the truth; what is exported of it counts, too."""
    try:
        if not _begins(_exported(file), truth.exported):
            return Verdict.WRONG
    except RecipesError:
        pass  # nothing can be read, or it is only just being created
    try:
        found = hear(file)
    except RecipesError:
        return Verdict.REPORTED
    if found == truth:
        return Verdict.HARMLESS
    earlier = _begins(found.events, truth.events) and len(found.requests) <= len(truth.requests)
    return Verdict.EARLIER if earlier else Verdict.WRONG


def _begins(part: Sequence[object], whole: Sequence[object]) -> bool:
    return [*part] == [*whole[: len(part)]]
