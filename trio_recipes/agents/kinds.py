"""The kinds of backends that files can name: the fields of each, and what is made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from trio_recipes.agents.backends.command import CommandBackend
from trio_recipes.agents.backends.echo import EchoBackend
from trio_recipes.agents.http.endpoint import Endpoint, EnvironmentKey, Timeouts, bare, no_key
from trio_recipes.agents.http.settings import ModelSettings
from trio_recipes.classes import frozen
from trio_recipes.errors import ConfigurationError
from trio_recipes.language.fields import (
    Field,
    RefusedError,
    choice,
    flag,
    mapping,
    mapping_of,
    matching,
    number,
    record,
    words,
)
from trio_recipes.language.fields import text as any_text
from trio_recipes.language.wording import shown
from trio_recipes.processes.command import MAX_GRACE
from trio_recipes.runtime.ports import AgentBackend

if TYPE_CHECKING:
    from trio_recipes.language.fields import Table
    from trio_recipes.language.report import Place
    from trio_recipes.values import Value

Fields: TypeAlias = Mapping[str, Any]


@frozen
class Made:
    """A backend, made of the fields of a file.

    Args:
        backend: itself.
        key: the environment variable that holds its key, or None.
        target: the address or command, for people.
        program: that it runs, or None.
    """

    backend: AgentBackend
    key: str | None = None
    target: str = ""
    program: str | None = None


@frozen
class Kind:
    """A kind of backend.

    Args:
        table: the fields that it has.
        make: makes one of them; None is a field that is not given.
    """

    table: Table
    make: Callable[[Fields], Made]


_SHELL: Final = ("/bin/bash", "-c")


def variable(value: Value, place: Place) -> str:
    """The name of an environment variable. What is none is not shown: it may be the key itself."""
    name = any_text(value, place)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        hint = "; write it without '$'" if name.startswith("$") else ""
        raise RefusedError(f"must be the name of an environment variable, not a key (what it is is not shown){hint}")
    return name


def address(value: Value, place: Place) -> str:
    """An HTTP address without a user, a password or a query, which would be shown where addresses are."""
    found = words(value, place)
    try:
        bare(found)
    except ConfigurationError as error:
        raise RefusedError(str(error)) from None
    if not found.startswith(("http://", "https://")) or any(part in found for part in " \n"):
        raise RefusedError(f"must be an address such as 'https://example.org/v1'; found {shown(found)}")
    return found


def plain_headers(value: Value, place: Place) -> Mapping[str, str]:
    """Headers, none of which carries a key."""
    found: Mapping[str, str] = mapping_of(matching(r"[A-Za-z0-9-]+", "the name of a header"), any_text)(value, place)
    for name in found:
        if name.lower() in _OF_KEYS:
            raise RefusedError(
                f"{name}: keys come from the environment only: name the variable in api_key_env, "
                "and the header, where it is not the usual one, in key_header"
            )
    return found


_OF_KEYS: Final = frozenset({"api-key", "authorization", "cookie", "proxy-authorization", "x-api-key"})


def program(value: Value, place: Place) -> tuple[str, ...]:
    """A program and its arguments; a single text is a shell's business, as in a bash step."""
    if isinstance(value, str) and value.strip():
        return (*_SHELL, value)
    parts = value if isinstance(value, list) else []
    argv = tuple(part for part in parts if isinstance(part, str))
    if argv and len(argv) == len(parts) and argv[0]:
        return argv
    del place
    raise RefusedError(
        f"must be a list of strings that starts with a program, or a shell command; found {shown(value)}"
    )


def grace(value: Value, place: Place) -> float:
    """Seconds between SIGTERM and SIGKILL."""
    del place
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MAX_GRACE:
        return float(value)
    raise RefusedError(f"must be seconds from 0 to {MAX_GRACE:g}, found {shown(value)}")


def _echo(_: Fields) -> Made:
    return Made(EchoBackend())


def _command(fields: Fields) -> Made:
    argv: tuple[str, ...] = fields["command"]
    is_shell = argv[:2] == _SHELL
    target = argv[2] if is_shell else " ".join(argv)
    if is_shell and fields.get("prompt") == "argument":
        argv = (*argv, "bash")  # $0; the prompt is $1
    more = {name: fields[name] for name in ("kill_grace", "prompt", "output") if name in fields}
    return Made(CommandBackend(argv, **more), target=target, program=argv[0])


def _openai(fields: Fields) -> Made:
    from trio_recipes.agents.backends.openai import OPENAI_KEY, OPENAI_URL, OpenAIBackend  # noqa: PLC0415  if named

    return _over_http(fields, OpenAIBackend, OPENAI_URL, OPENAI_KEY)


def _anthropic(fields: Fields) -> Made:
    from trio_recipes.agents.backends.anthropic import (  # noqa: PLC0415  only if it is named
        ANTHROPIC_KEY,
        ANTHROPIC_URL,
        AnthropicBackend,
    )

    return _over_http(fields, AnthropicBackend, ANTHROPIC_URL, ANTHROPIC_KEY)


def _over_http(fields: Fields, cls: Callable[..., AgentBackend], base_url: str, variable: str) -> Made:
    """A maker's key goes to the maker's address; to another one goes a key that is named together with it, or none."""
    key = fields.get("api_key_env") or (variable if "base_url" not in fields else None)
    endpoint = Endpoint(
        base_url=fields.get("base_url", base_url),
        key=EnvironmentKey(key) if key else no_key,
        **{name: fields[name] for name in ("key_header", "headers", "timeouts") if name in fields},
    )
    settings = {name: fields[name] for name in ("structured", "extra") if name in fields}
    return Made(cls(endpoint, ModelSettings(**settings)), key, endpoint.base_url)


_SECONDS: Final[Table] = {name: Field(number(0, above=True)) for name in ("connect", "first", "between")}

_HTTP: Final[Table] = {
    "base_url": Field(address),
    "api_key_env": Field(variable),
    "key_header": Field(matching(r"[A-Za-z0-9-]+", "the name of a header")),
    "headers": Field(plain_headers),
    "timeouts": Field(record(Timeouts, _SECONDS, "timeouts")),
    "structured": Field(flag),
    "extra": Field(mapping),
}

_PROGRAM: Final[Table] = {
    "command": Field(program, required=True, placeholder=None),
    "kill_grace": Field(grace),
    "prompt": Field(choice("stdin", "argument")),
    "output": Field(choice("text", "json-lines")),
}

KINDS: Final[Mapping[str, Kind]] = {
    "anthropic": Kind(_HTTP, _anthropic),
    "command": Kind(_PROGRAM, _command),
    "echo": Kind({}, _echo),
    "openai": Kind(_HTTP, _openai),
}
"""By name. ``replay`` is made where entries are read, since it may name another one."""
