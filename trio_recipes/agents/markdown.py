"""Agents that people have already: Markdown files with YAML front matter, whose text is the system prompt.

Folders are read whole when a runtime opens, those in them too. A file that can't be understood matters only to recipes
that name its agent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trio_recipes.agents.definitions import Definition, Definitions
from trio_recipes.agents.places import is_there
from trio_recipes.agents.settings import CHOICE, KEYS, TARGETS, Settings, as_settings, text_in
from trio_recipes.errors import ConfigurationError
from trio_recipes.language.report import Report
from trio_recipes.language.source import read
from trio_recipes.language.wording import kind_of
from trio_recipes.plainfile import open_plain, why_unread

if TYPE_CHECKING:
    from trio_recipes.values import Value

MAX_FILES: Final = 1000
"""Definitions that a folder may hold."""

MAX_FOLDERS: Final = 1000
"""Folders that are looked through for them."""

MAX_BYTES: Final = 1_000_000
"""Size of one."""

_FRONT = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_OURS: Final = CHOICE | KEYS | TARGETS | {"temperature", "max_tokens", "tools", "providers"}
_OF_THE_MAKERS: Final = {"color", "disallowedTools", "hooks", "mcpServers", "memory", "meta", "name", "permissionMode"}
"""Further keys of such files: where one begins, a description ends that is no YAML."""

_NEXT: Final = rf"(?:{'|'.join(sorted(_OURS | _OF_THE_MAKERS))}):(?:\s|$)"
_DESCRIPTION = re.compile(rf"^description:(.*\n(?:(?!{_NEXT}).*\n)*)", re.MULTILINE)
_ALL_TOOLS = re.compile(r"^tools:[ \t]*\*(?=\s*$)", re.MULTILINE)


def read_folders(folders: Iterable[Path]) -> Definitions:
    """The definitions in these folders, the first ones before the others; a folder that is not there has none."""
    result = Definitions()
    for folder in folders:
        result = result.over(_read_folder(folder))
    return result


def _read_folder(folder: Path) -> Definitions:
    found: dict[str, Definition] = {}
    broken: dict[str, str] = {}
    for file in _files(folder):
        try:
            definition = read_definition(file)
        except ConfigurationError as error:
            broken[file.stem] = str(error)
            continue
        if definition is not None:
            found.setdefault(definition.name, definition)
    return Definitions(found, {name: why for name, why in broken.items() if name not in found})


def _files(folder: Path) -> Iterator[Path]:
    """Regular files only: whatever else is called so (a pipe, a device) could keep us waiting."""
    found = (
        file
        for place, _, names in islice(_walk(folder), MAX_FOLDERS)
        for file in sorted(Path(place, name) for name in names if name.endswith(".md"))
    )
    yield from (file for file in islice(found, MAX_FILES) if is_there(file) and file.is_file())


def _walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Folders from the top, in order, but hidden ones (of checkouts, say); links are not followed: no circles."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield place, folders, names


def read_definition(file: Path) -> Definition | None:
    """The agent that a file defines; None if it has no front matter, and so defines none.

    Raises:
        ConfigurationError: it can't be read or understood, or names an endpoint, a program or a key.
    """
    text = _text_of(file)
    front = _FRONT.match(text)
    if front is None:
        return None
    fields = _fields(front[1], file)
    meta = fields.get("meta")
    about: Settings = {**fields, **meta} if isinstance(meta, dict) else fields
    settings = {name: value for name, value in fields.items() if name in _OURS}
    body = text[front.end() :].strip()
    try:
        name = text_in(about, "name", "the front matter") or file.stem
        own = as_settings({**settings, **({"system": body} if body else {})})
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from None
    description = about.get("description")
    return Definition(name, own, str(file), description if isinstance(description, str) else "")


def _text_of(file: Path) -> str:
    try:
        with open_plain(file) as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{file}: can't be read: {why_unread(error)}") from None
    if len(data) > MAX_BYTES:
        raise ConfigurationError(f"{file}: is larger than {MAX_BYTES // 1_000_000} MB, which no definition is")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: is no UTF-8: {error}") from None


def _fields(front: str, file: Path) -> Mapping[str, Value]:
    """The front matter; what is wrong with the description alone, a text of many colons in most, is forgiven."""
    report = Report(str(file))
    front = _ALL_TOOLS.sub("tools: '*'", front)
    document = read(f"\n{front}", report)  # the line before it is ---
    description = _DESCRIPTION.search(front)
    if report.has_errors and description is not None:
        gap = "\n" * description[0].count("\n")
        again = Report(str(file))
        document = read(f"\n{front[: description.start()]}{gap}{front[description.end() :]}", again)
        if not again.has_errors and isinstance(document, dict):
            return {**document, "description": " ".join(description[1].split())}
        report = again
    if report.has_errors:
        raise ConfigurationError("\n".join(map(str, report.in_order())))
    if document is None or isinstance(document, dict):
        return document or {}
    raise ConfigurationError(f"{file}: the front matter must be a mapping, found {kind_of(document)}")
