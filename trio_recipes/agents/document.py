"""What an agents file holds, wherever it came from: agents, providers, roles and folders of definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeGuard, TypeVar

from attrs import evolve

from trio_recipes.agents.entry import Entry
from trio_recipes.agents.markdown import read_folders
from trio_recipes.agents.provider import Provider
from trio_recipes.agents.reading import read_entry, read_provider, read_role
from trio_recipes.agents.registry import Agents
from trio_recipes.errors import ConfigurationError, ValueRefusedError
from trio_recipes.language.fields import RefusedError, each, words
from trio_recipes.language.report import Place, Report
from trio_recipes.language.source import read
from trio_recipes.language.wording import did_you_mean, kind_of, listed, shown
from trio_recipes.runtime.ports import AgentBackend
from trio_recipes.values import Value, normalise

KEYS: Final = ("agents", "providers", "roles", "agent_folders")
"""What an agents file may hold; in a project's file, other things stand beside them."""

T = TypeVar("T")


def read_document(document: Mapping[str, object], root: Place, base: Path, *, trusted: bool) -> Agents:
    """Read what a file, or a caller's mapping, says; in the place of an entry there may be a backend.

    Args:
        document: the sections by key.
        root: where they stand.
        base: the folder that paths in it are relative to.
        trusted: False for files of the project.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    for name in document:
        if name not in KEYS:
            near = did_you_mean(name, KEYS)
            root.key(name).error(f"unknown key{near}; the file has the keys {listed(KEYS)}")
    agents = Agents(
        entries=_section(document, root, "agents", lambda _, entry, at: _entry(entry, at, trusted)),
        providers=_section(document, root, "providers", lambda name, entry, at: _provider(name, entry, at, trusted)),
        roles=_section(document, root, "roles", lambda _, entry, at: _role(entry, at)),
        trusted=trusted,
    )
    folders = _folders(document.get("agent_folders", []), root.key("agent_folders"), base, trusted)
    raise_problems(root.report)
    return evolve(agents, definitions=read_folders(folders)) if folders else agents


def _section(
    document: Mapping[str, object], root: Place, key: str, make: Callable[[str, object, Place], T | None]
) -> dict[str, T]:
    """The entries of one key that are as they should be; what is wrong with the others is reported."""
    entries, place = document.get(key, {}), root.key(key)
    if not isinstance(entries, Mapping):
        place.error(f"must be a mapping by name, found {shown(entries)}")
        return {}
    made = {str(name): make(str(name), entry, place.key(str(name))) for name, entry in entries.items()}
    return {name: entry for name, entry in made.items() if entry is not None}


def _entry(entry: object, place: Place, trusted: bool) -> Entry | None:
    if is_backend(entry):
        return Entry(Provider("", entry))
    return _plain(entry, place, lambda value: read_entry(value, place, trusted=trusted))


def _provider(name: str, entry: object, place: Place, trusted: bool) -> Provider | None:
    if is_backend(entry):
        return Provider(name, entry)
    return _plain(entry, place, lambda value: read_provider(name, value, place, trusted=trusted))


def _role(entry: object, place: Place) -> tuple[Mapping[str, Value], ...] | None:
    return _plain(entry, place, lambda value: read_role(value, place))


def _plain(entry: object, place: Place, read: Callable[[Value], T | None]) -> T | None:
    try:
        value = normalise(entry, place.path)
    except ValueRefusedError as error:
        place.error(str(error))
        return None
    return read(value)


def _folders(value: object, place: Place, base: Path, trusted: bool) -> list[Path]:
    """Folders of definitions; a project's file names those of the project only."""
    try:
        names = each(words)(normalise(value, place.path), place)
    except (RefusedError, ValueRefusedError) as error:
        place.error(str(error))
        return []
    folders = [base / Path(name).expanduser() for name in names]
    for name, folder in zip(names, folders, strict=True):
        if not trusted and not folder.resolve().is_relative_to(base.resolve()):
            place.error(f"{shown(name)} is outside the project")
        elif not folder.is_dir():
            place.error(f"there is no folder {shown(name)}; paths are relative to this file")
    return folders


def read_text(text: str, file: Path, *, trusted: bool) -> Agents:
    """What the YAML text of a file says.

    Args:
        text: of the file.
        file: where it stands.
        trusted: whether it is the user's own, or named by the user.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    report = Report(str(file))
    document = read(text, report)
    raise_problems(report)
    if not isinstance(document, dict):
        raise ConfigurationError(f"{file}: must be a mapping with 'agents' or 'providers', found {kind_of(document)}")
    return read_document(document, Place("", report), file.parent, trusted=trusted)


def is_backend(entry: object) -> TypeGuard[AgentBackend]:
    """Whether it is a backend, rather than the description of one."""
    return callable(getattr(entry, "ask", None))


def raise_problems(report: Report) -> None:
    """Raise what was gathered.

    Raises:
        ConfigurationError: there is anything.
    """
    problems = [problem for problem in report.in_order() if not problem.warning]
    if problems:
        raise ConfigurationError("\n".join(str(problem) for problem in problems))
