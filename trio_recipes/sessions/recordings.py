"""What agents answered in a former session: for replays. Read from its records, or from a file made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from trio_recipes.agents.backends.replay import Recorded, Recording
from trio_recipes.agents.load import RECORDING
from trio_recipes.errors import ConfigurationError
from trio_recipes.events import AgentAnswered, AgentAsked, ScopeStatus
from trio_recipes.plainfile import why_unread
from trio_recipes.progress.fold import Progress
from trio_recipes.progress.masked import shown
from trio_recipes.store.codec import from_row

if TYPE_CHECKING:
    from trio_recipes.progress.record import Record
    from trio_recipes.store.session_file import SessionFile
    from trio_recipes.store.sqlite import SqliteStore


def recorded_answers(store: SqliteStore, name: str) -> Recording:
    """The recording that ``replay:NAME`` means. Blocks.

    Args:
        store: where sessions live.
        name: an id, a unique prefix of one, ``@last``, or a file that :func:`write_recording` wrote.

    Raises:
        SessionNotFoundError: there is no such session.
        ConfigurationError: there is no such file, or it is no recording.
    """
    return read_recording(Path(name)) if name.endswith(RECORDING) else recording_of(store.file(store.resolve(name)))


def recording_of(file: SessionFile, *, masked: bool = False) -> Recording:
    """What agents answered in a session, as its records have it. Blocks.

    Args:
        file: the session's.
        masked: whether secrets are hidden in answers, too: for what leaves the store.

    Raises:
        StoreUnusableError: its file is damaged.
    """
    with file.reading() as connection:
        rows = file.rows(connection)
    progress = Progress()
    asked: dict[str, AgentAsked] = {}
    answered: dict[str, AgentAnswered] = {}
    for recorded in map(from_row, rows):
        stamped = shown(recorded) if masked else recorded
        progress.apply(stamped)
        if isinstance(stamped.event, AgentAsked):
            asked[stamped.event.path] = stamped.event
        elif isinstance(stamped.event, AgentAnswered):
            answered[stamped.event.path] = stamped.event
    ended = {path: record for path, record in progress.records.items() if path in asked and record.status in _ENDED}
    answers = {path: _recorded(record, asked[path], answered.get(path)) for path, record in ended.items()}
    return Recording(file.session_id, answers)


_ENDED = frozenset({ScopeStatus.COMPLETED, ScopeStatus.FAILED})


def _recorded(record: Record, asked: AgentAsked, answered: AgentAnswered | None) -> Recorded:
    has_text = record.channel is not None
    return Recorded(
        agent=asked.agent,
        prompt=asked.data.decode("utf-8", "replace"),
        text=record.output(record.channel).decode("utf-8", "replace") if record.channel is not None else None,
        value=None if has_text else record.value,
        failure=record.failure.message if record.failure else None,
        model=answered.model if answered else asked.model,
    )


# --- files -------------------------------------------------------------------------------------------------------


def write_recording(recording: Recording, file: Path) -> None:
    """Write a recording as JSON, to be kept with the tests that replay it."""
    answers = {path: _compact(recorded) for path, recorded in sorted(recording.answers.items())}
    file.write_text(json.dumps({"answers": answers}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _compact(recorded: Recorded) -> dict[str, Any]:
    return {name: value for name, value in attrs.asdict(recorded).items() if value is not None}


def read_recording(file: Path) -> Recording:
    """A recording that :func:`write_recording` wrote.

    Raises:
        ConfigurationError: there is no such file, or it is none.
    """
    try:
        answers = json.loads(file.read_text(encoding="utf-8"))["answers"]
        return Recording(str(file), {path: Recorded(**fields) for path, fields in answers.items()})
    except FileNotFoundError:
        how = "`pytest --record-agents FILE` or trio_recipes.testing.save_recording makes one"
        raise ConfigurationError(f"{file}: there is no such recording; {how}") from None
    except OSError as error:
        raise ConfigurationError(f"{file}: can't be read: {why_unread(error)}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{file}: this is no recording: {type(error).__name__}: {error}") from None
