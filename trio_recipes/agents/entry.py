"""One entry of an agents file, checked and made a backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from trio_recipes.agents.backends.command import CommandBackend
from trio_recipes.agents.backends.echo import EchoBackend
from trio_recipes.language.report import Place
from trio_recipes.language.wording import did_you_mean, kind_of, listed, shown
from trio_recipes.processes.command import MAX_GRACE
from trio_recipes.runtime.ports import AgentBackend
from trio_recipes.values import Value

Entry: TypeAlias = Mapping[str, Value]

LATER: Final = frozenset({"anthropic", "openai"})
"""Backends of a later version."""

KEYS: Final = frozenset({"api_key", "api_key_env"})
"""Fields that name a key or the environment variable that holds one."""

TARGETS: Final = frozenset({"base_url", "command", "endpoint", "url"})
"""Fields that say where such a key would go."""


def backend_of(entry: Value, place: Place, *, trusted: bool) -> AgentBackend | None:
    """The backend that an entry describes, or None with the reason reported at its place.

    Args:
        entry: a mapping with ``backend`` and its fields, or just the name of a backend.
        place: where it stands.
        trusted: False in files of the project, which must not send the user's keys anywhere (decisions.md, "Trust").
    """
    if isinstance(entry, str):
        entry = {"backend": entry}
    if not isinstance(entry, dict):
        place.error(f"must be a mapping with 'backend', found {kind_of(entry)} ({shown(entry)})")
        return None
    if not trusted and not _keeps_keys_safe(entry, place):
        return None
    make = _maker(entry.get("backend"), place)
    return make(entry, place) if make else None


def _keeps_keys_safe(entry: Entry, place: Place) -> bool:
    key, target = KEYS & entry.keys(), TARGETS & entry.keys()
    if key and target:
        place.error(
            f"a project's file can't say {listed(target)} together with {listed(key)}: it could send your keys "
            "anywhere. Move the entry to ~/.config/trio_recipes/agents.yaml, or into a file for --agents"
        )
    return not (key and target)


_Maker: TypeAlias = Callable[[Entry, Place], AgentBackend | None]


def _maker(name: Value, place: Place) -> _Maker | None:
    if isinstance(name, str) and name in _MAKERS:
        return _MAKERS[name]
    here = place.key("backend")
    if name is None:
        here.error(f"missing; it is one of: {listed(_MAKERS)}")
    elif isinstance(name, str) and name in LATER:
        here.error(f"{name!r} is not available in this version; use 'command' with a program that asks it")
    else:
        near = did_you_mean(name, _MAKERS) if isinstance(name, str) else ""
        here.error(f"there is no backend {shown(name)}{near} (there are: {listed(_MAKERS)})")
    return None


def _only(entry: Entry, place: Place, known: tuple[str, ...]) -> bool:
    unknown = [name for name in entry if name != "backend" and name not in known]
    for name in unknown:
        fields = f"(it has: {listed(known)})" if known else "(it has no fields)"
        place.key(name).error(f"backend {entry['backend']!r} has no field {name!r}{did_you_mean(name, known)} {fields}")
    return not unknown


def _echo(entry: Entry, place: Place) -> AgentBackend | None:
    return EchoBackend() if _only(entry, place, ()) else None


def _command(entry: Entry, place: Place) -> AgentBackend | None:
    is_known = _only(entry, place, ("command", "kill_grace"))
    argv = _argv(entry.get("command"), place.key("command"))
    grace = _grace(entry.get("kill_grace", 2.0), place.key("kill_grace"))
    return CommandBackend(argv, grace) if is_known and argv and grace is not None else None


def _argv(command: Value, place: Place) -> tuple[str, ...] | None:
    """The program and its arguments; a single text is a shell's business, as in a bash step."""
    if isinstance(command, str) and command.strip():
        return ("/bin/bash", "-c", command)
    parts = command if isinstance(command, list) else []
    argv = tuple(part for part in parts if isinstance(part, str))
    if argv and len(argv) == len(parts) and argv[0]:
        return argv
    place.error(f"must be a list of strings that starts with a program, or a shell command; found {shown(command)}")
    return None


def _grace(seconds: Value, place: Place) -> float | None:
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds <= MAX_GRACE:
        return float(seconds)
    place.error(f"must be seconds from 0 to {MAX_GRACE:g}, found {shown(seconds)}")
    return None


_MAKERS: Final[Mapping[str, _Maker]] = {"command": _command, "echo": _echo}
