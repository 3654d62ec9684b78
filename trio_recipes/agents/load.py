"""Where agents are configured: what the caller gives, the project's file, the user's own file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from trio_recipes.agents.entry import backend_of
from trio_recipes.agents.registry import PROJECT_FILE, USER_FILE, Agents
from trio_recipes.errors import ConfigurationError, ValueRefusedError
from trio_recipes.language.report import Place, Report
from trio_recipes.language.source import read
from trio_recipes.language.wording import did_you_mean, kind_of, shown
from trio_recipes.values import Value, normalise

if TYPE_CHECKING:
    from trio_recipes.runtime.ports import AgentBackend

Source: TypeAlias = "str | os.PathLike[str] | Mapping[str, object] | AgentBackend | None"


def load_agents(source: Source) -> Agents:
    """The agents that a caller gives. Reads a file at most; the caller may want a thread for that.

    Args:
        source: None for none; ``"echo"``; the path of an agents file; one backend, which answers for all agents; or a
            mapping from names and globs to backends or to entries as they stand in a file.

    Raises:
        ConfigurationError: the file, or an entry, is not as it should be; all problems are told together.
    """
    if source is None:
        return Agents()
    if isinstance(source, Mapping):
        return _from_mapping(source)
    if isinstance(source, (str, os.PathLike)):
        is_name = source == "echo"
        return _from_mapping({"*": "echo"}) if is_name else read_agents_file(Path(source), trusted=True)
    return Agents({"*": source})


def configured_agents(source: Source, project: str | os.PathLike[str]) -> Agents:
    """All agents of a runtime: the caller's, over the project's, over the user's.

    Raises:
        ConfigurationError: as in :func:`load_agents`. Files are left alone if the caller's agents answer for all.
    """
    given = load_agents(source)
    if "*" in given.backends:
        return given
    return given.over(project_agents(project)).over(user_agents())


def project_agents(project: str | os.PathLike[str]) -> Agents:
    """The agents in the table ``[agents]`` of the project's ``trio-recipes.toml``; none without one.

    Raises:
        ConfigurationError: the file is not as it should be, or asks for more trust than a project has.
    """
    file = Path(project) / PROJECT_FILE
    text = _text_of(file)
    if text is None:
        return Agents()
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file}: this is not TOML: {error}") from None
    return _agents_in(document.get("agents", {}), Place("agents", Report(str(file))), trusted=False)


def user_agents() -> Agents:
    """The agents of the user's own ``trio_recipes/agents.yaml`` in ``$XDG_CONFIG_HOME`` or ``~/.config``.

    Raises:
        ConfigurationError: the file is not as it should be.
    """
    folder = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    file = Path(folder) / USER_FILE
    return read_agents_file(file, trusted=True) if file.exists() else Agents()


def read_agents_file(file: Path, *, trusted: bool) -> Agents:
    """The agents of a YAML file: ``agents: {name-or-glob: {backend: …}}``.

    Args:
        file: the file; it must exist.
        trusted: whether it is the user's own, or named by the user.

    Raises:
        ConfigurationError: the file is not as it should be.
    """
    text = _text_of(file)
    if text is None:
        raise ConfigurationError(f"{file}: there is no such agents file; `echo` is the one name that needs none")
    report = Report(str(file))
    document = read(text, report)
    _raise_problems(report)
    if not isinstance(document, dict):
        raise ConfigurationError(f"{file}: must be a mapping with 'agents', found {kind_of(document)}")
    root = Place("", report)
    for name in document:
        if name != "agents":
            root.key(name).error(f"unknown key{did_you_mean(name, ['agents'])}; the file has one key, 'agents'")
    return _agents_in(document.get("agents"), root.key("agents"), trusted=trusted)


def _from_mapping(source: Mapping[str, object]) -> Agents:
    given = source["agents"] if set(source) == {"agents"} and isinstance(source["agents"], Mapping) else source
    return _agents_in(given, Place("agents", Report()), trusted=True)


def _agents_in(entries: object, place: Place, *, trusted: bool) -> Agents:
    if not isinstance(entries, Mapping):
        place.error(f"must be a mapping from agents to backends, found {shown(entries)}")
        entries = {}
    made = {str(name): _backend(entry, place.key(str(name)), trusted) for name, entry in entries.items()}
    _raise_problems(place.report)
    return Agents({name: backend for name, backend in made.items() if backend is not None})


def _backend(entry: object, place: Place, trusted: bool) -> AgentBackend | None:
    if _is_backend(entry):
        return entry  # type: ignore[return-value]
    try:
        value: Value = normalise(entry, place.path)
    except ValueRefusedError as error:
        place.error(str(error))
        return None
    return backend_of(value, place, trusted=trusted)


def _is_backend(entry: object) -> bool:
    return callable(getattr(entry, "ask", None))


def _text_of(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: can't be read: {error}") from None


def _raise_problems(report: Report) -> None:
    problems = [problem for problem in report.in_order() if not problem.warning]
    if problems:
        raise ConfigurationError("\n".join(str(problem) for problem in problems))
