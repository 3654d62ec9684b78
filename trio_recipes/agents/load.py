"""Where agents are configured: what the caller gives, the project's file, the user's own file, definitions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from trio_recipes.agents.backends.echo import EchoBackend
from trio_recipes.agents.backends.replay import ReplayBackend
from trio_recipes.agents.definitions import Definitions, usual_folders
from trio_recipes.agents.entry import Entry
from trio_recipes.agents.places import is_there, user_file
from trio_recipes.agents.provider import Provider
from trio_recipes.agents.registry import PROJECT_FILE, USER_FILE, Agents
from trio_recipes.errors import ConfigurationError
from trio_recipes.language.report import Place, Report
from trio_recipes.language.wording import did_you_mean, listed, shown
from trio_recipes.plainfile import read_plain, why_unread
from trio_recipes.runtime.ports import AgentBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Source: TypeAlias = "str | os.PathLike[str] | Mapping[str, object] | AgentBackend | None"

REPLAY: Final = "replay:"
"""What ``--agents`` begins with to name a session, or a recording, rather than a file."""

RECORDING: Final = ".json"
"""What the name of a recording's file ends in; anything else names a session."""


def load_agents(source: Source) -> Agents:
    """The agents that a caller gives. Reads files at most; the caller may want a thread for that.

    Args:
        source: None for none; ``"echo"``; ``"replay:SESSION"``; the path of an agents file; one backend, which answers
            for all agents; or a mapping: an agents file's, or from names and globs to backends or entries.

    Raises:
        ConfigurationError: the file, or an entry, is not as it should be; all problems are told together.
    """
    if source is None:
        return Agents()
    if isinstance(source, Mapping):
        return _from_mapping(source)
    if isinstance(source, str) and source.startswith(REPLAY):
        return _for_all("replay", ReplayBackend(source.removeprefix(REPLAY)))
    if isinstance(source, (str, os.PathLike)):
        is_name = source == "echo"
        return _for_all("echo", EchoBackend()) if is_name else read_agents_file(Path(source), trusted=True)
    return _for_all("", source)


def name_of(source: Source) -> str | None:
    """What names these agents in another process, wherever it runs; None if nothing does. No contents, no keys."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    name = os.fspath(source)
    if name == "echo" or (name.startswith(REPLAY) and not name.endswith(RECORDING)):
        return name
    kind, path = (REPLAY, name.removeprefix(REPLAY)) if name.startswith(REPLAY) else ("", name)
    return kind + os.path.abspath(path)  # noqa: PTH100  symbolic links stay, as they are when the file is read


def configured_agents(source: Source, project: str | os.PathLike[str]) -> Agents:
    """All agents of a runtime: the caller's, over the project's, over the user's.

    Raises:
        ConfigurationError: as in :func:`load_agents`; or an entry names a provider that there is not. Other files are
            left alone if the caller's agents answer for all; so are definitions, if one backend does.
    """
    given = load_agents(source)
    if "*" not in given.entries:
        given = given.over(project_agents(project)).over(user_agents())
    elif _is_one_backend(source):
        return given
    _check_providers(given)
    return given.over(Agents(definitions=_usual_definitions(project)))


def project_agents(project: str | os.PathLike[str]) -> Agents:
    """What the project's ``trio-recipes.toml`` says of agents; nothing without one.

    Raises:
        ConfigurationError: the file is not as it should be, or asks for more trust than a project has.
    """
    file = Path(project) / PROJECT_FILE
    text = _text_of(file, read_plain)
    if text is None:
        return Agents()
    import tomllib  # noqa: PLC0415  only for projects that have such a file

    from trio_recipes.agents.document import KEYS, read_document  # noqa: PLC0415

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file}: this is not TOML: {error}") from None
    ours = {str(name): document[name] for name in KEYS if name in document}
    return read_document(ours, Place("", Report(str(file))), Path(project), trusted=False)


def user_agents() -> Agents:
    """The agents of the user's own ``trio_recipes/agents.yaml`` in ``$XDG_CONFIG_HOME`` or ``~/.config``.

    Raises:
        ConfigurationError: the file is not as it should be.
    """
    file = user_file(USER_FILE)
    return read_agents_file(file, trusted=True) if is_there(file) else Agents()


def read_agents_file(file: Path, *, trusted: bool) -> Agents:
    """What a YAML file says: ``agents``, ``providers``, ``roles`` and ``agent_folders``.

    Args:
        file: the file; it must exist.
        trusted: whether it is the user's own, or named by the user.

    Raises:
        ConfigurationError: the file is not as it should be.
    """
    text = _text_of(file)
    if text is None:
        raise ConfigurationError(
            f"{file}: there is no such agents file; `echo` and `replay:SESSION` are the names that need none"
        )
    from trio_recipes.agents.document import read_text  # noqa: PLC0415  most of this package: not for `echo`

    return read_text(text, file, trusted=trusted)


# --- a source ----------------------------------------------------------------------------------------------------


def _for_all(kind: str, backend: AgentBackend) -> Agents:
    return Agents({"*": Entry(Provider(kind, backend, kind))})


def _is_one_backend(source: Source) -> bool:
    return source == "echo" or not isinstance(source, (Mapping, str, os.PathLike)) or str(source).startswith(REPLAY)


def _from_mapping(source: Mapping[str, object]) -> Agents:
    from trio_recipes.agents.document import KEYS, is_backend, read_document  # noqa: PLC0415

    is_file = bool(source) and set(source) <= set(KEYS) and not any(map(is_backend, source.values()))
    return read_document(source if is_file else {"agents": source}, Place("", Report()), Path.cwd(), trusted=True)


def _usual_definitions(project: str | os.PathLike[str]) -> Definitions:
    folders = [folder for folder in usual_folders(Path(project)) if is_there(folder)]
    if not folders:
        return Definitions()
    from trio_recipes.agents.markdown import read_folders  # noqa: PLC0415  only where there are any

    return read_folders(folders)


def _check_providers(agents: Agents) -> None:
    """Refuse entries that name a provider that no source has."""
    known = agents.all_providers()
    problems = [
        f"{_at(entry)}agents.{name}: there is no provider {shown(wish)}{did_you_mean(wish, [*known, 'echo'])}"
        f" (there are: {listed(known)})"
        for name, entry in agents.all_entries()
        for wish in _wishes(entry)
        if wish not in known
    ]
    if problems:
        raise ConfigurationError("\n".join(problems))


def _at(entry: Entry) -> str:
    return f"{entry.origin}: " if entry.origin else ""


def _wishes(entry: Entry) -> Iterator[str]:
    wish = entry.settings.get("provider")
    if isinstance(wish, str):
        yield wish


def _from_anywhere(file: Path) -> str:
    """What the user has named: a pipe, perhaps."""
    return file.read_text(encoding="utf-8")


def _text_of(file: Path, read: Callable[[Path], str] = _from_anywhere) -> str | None:
    try:
        return read(file)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: can't be read: {why_unread(error)}") from None
