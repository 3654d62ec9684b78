"""What people read about gates: the question, since when it waits, and the commands that answer it."""

from __future__ import annotations

import os
import pwd
import time
from typing import TYPE_CHECKING

from trio_recipes.frontends.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator


def quoted(prompt: str) -> Iterator[str]:
    """The question, indented."""
    for line in prompt.strip().split("\n"):
        yield f"    {printable(line)}"


def how_to_decide(session_id: str, path: str) -> Iterator[str]:
    """The commands, to be copied."""
    place = f"{session_id} {_as_argument(path)}"
    yield f"  approve it: trio-recipes approve {place}"
    yield f"  deny it: trio-recipes deny {place}"


def _as_argument(path: str) -> str:
    """``path`` for a shell; what a path is made of needs nothing but quotes."""
    return f"'{path}'" if set(path) & set(" []") else path


def until(expires_at: int | None, default: str) -> str:
    """When which default applies, or ''."""
    if expires_at is None:
        return ""
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(expires_at / 1_000_000))
    return f", until {clock} (then: {default})"


def user() -> str:
    """Who sits here."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container, often
        return f"user {os.getuid()}"
