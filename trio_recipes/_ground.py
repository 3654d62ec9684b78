"""Where ``python -m trio_recipes`` looks for modules: not in the current folder first.

That folder is somebody's project, and ``python -m`` puts it before everything else: a ``yaml.py`` there would be
imported by ``validate``, which must run nothing of the project (docs/security.md). So it goes, before anything is
looked for. If this package itself was found there, a developer's checkout, it goes behind everything else.

Only modules that every interpreter has loaded by now are imported here.
"""

from __future__ import annotations

import os
import sys

_PROGRAMS = ("trio_recipes", "trio_recipes.__main__")


def _program() -> str:
    """The module that ``python -m`` is just about to run; empty if this is no such moment."""
    if sys.argv[:1] != ["-m"]:  # what it is until that module was found
        return ""
    words = sys.orig_argv[1:]
    for word, following in zip(words, [*words[1:], ""], strict=True):
        flags, found, rest = word.partition("m")
        if found and flags[:1] == "-" and _are_flags(flags[1:]):  # -m NAME, -Bm NAME, -mNAME
            return rest or following
    return ""


def _are_flags(letters: str) -> bool:
    """Whether options stand there without a value: what follows an X or W, as in ``-Ximporttime``, is one."""
    return not letters or (letters.isalpha() and "X" not in letters and "W" not in letters)


def _leave_the_folder() -> None:
    try:
        here = os.getcwd()  # noqa: PTH109  pathlib is not loaded yet
    except FileNotFoundError:
        return
    if sys.flags.safe_path or sys.path[:1] not in ([""], [here]):
        return
    first = sys.path.pop(0)
    if os.path.dirname(os.path.dirname(os.path.abspath(__file__))) == here:  # noqa: PTH100, PTH120
        sys.path.append(first)


if _program() in _PROGRAMS:
    _leave_the_folder()
