"""Reading the command line: the options that every command takes may stand before or after its name."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, HelpFormatter, Namespace, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from trio_recipes.errors import ConfigurationError
from trio_recipes.frontends.cli.commands import COMMANDS, load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from trio_recipes.frontends.cli.commands import Command

PROG = "trio-recipes"
_WITH_VALUE = ("--store",)


def parse(arguments: Sequence[str]) -> tuple[Command, Namespace]:
    """The command that ``arguments`` name, and its options. Only that command's parser is made.

    Raises:
        SystemExit: 0 after ``--help`` and ``--version``; 2 for arguments that make no sense, said on stderr.
    """
    before, name, after = _split(arguments)
    if name == "help":  # a word that people try, and no command of its own
        return parse([*after[:1], "--help"])
    if name is None:
        _without_command(before)
    if name not in COMMANDS:
        _refuse(name)
    command = load(name)
    summary = COMMANDS[name][1]
    what = f"{summary[0].upper()}{summary[1:]}."
    parser = ArgumentParser(f"{PROG} {name}", description=what, allow_abbrev=False, formatter_class=_Formatter)
    command.add_options(parser)
    _add_common(parser)
    parser.set_defaults(command=name)
    return command, parser.parse_args([*before, *after])


class _Formatter(HelpFormatter):
    """Help as wide as the terminal, asked without ``shutil``: every argument that is added makes a formatter."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_width() - 2)


def _width() -> int:
    """Columns of the terminal: as ``COLUMNS`` has it, or else as the terminal itself says; 100 without one."""
    told = os.environ.get("COLUMNS", "")
    try:
        return int(told) if told.isdecimal() and int(told) else os.get_terminal_size().columns or 100
    except OSError:  # no terminal
        return 100


def _split(arguments: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """What stands before the command, the command, and what follows it."""
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        index += 2 if arguments[index] in _WITH_VALUE else 1
    if index >= len(arguments):
        return list(arguments), None, []
    return list(arguments[:index]), arguments[index], list(arguments[index + 1 :])


def _add_common(parser: ArgumentParser) -> None:
    parser.add_argument("--store", metavar="URL", help="where sessions are kept: a folder (default: your own)")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def _without_command(before: Sequence[str]) -> NoReturn:
    names = "\n".join(f"  {name:10}{what}" for name, (_, what) in COMMANDS.items())
    parser = ArgumentParser(
        PROG,
        usage=f"{PROG} COMMAND …",
        description=f"commands:\n{names}\n\nEach command explains itself: {PROG} run --help",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {_version()}")
    _add_common(parser)
    parser.parse_args(before)
    parser.print_help(sys.stderr)
    raise SystemExit(2)


def _version() -> str:
    from trio_recipes._version import __version__  # noqa: PLC0415  for one option

    return __version__


def _refuse(name: str) -> NoReturn:
    from difflib import get_close_matches  # noqa: PLC0415  only errors need it

    near = get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the commands are {', '.join(COMMANDS)}"
    sys.stderr.write(f"{PROG}: there is no command {name!r}; {hint}\n")
    raise SystemExit(2)


def check_project(folder: str | None) -> None:
    """Refuse a ``--project`` that is no folder.

    Raises:
        ConfigurationError: if it is none.
    """
    if folder is not None and not os.path.isdir(folder):  # noqa: PTH112  pathlib is not loaded here
        raise ConfigurationError(f"--project {folder}: there is no such folder")


def seconds(text: str) -> float:
    """A number of seconds, not negative."""
    return _at_least(0, text, "a number of seconds, 0 or more")


def days(text: str) -> float:
    """A number of days, not negative."""
    return _at_least(0, text, "a number of days, 0 or more")


def dollars(text: str) -> float:
    """An amount of US dollars, above 0."""
    return _at_least(sys.float_info.min, text, "an amount of US dollars, above 0")


def count(text: str) -> int:
    """A whole number, above 0."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ArgumentTypeError(f"takes a whole number, above 0; found {text!r}")
    return value


def _at_least(least: float, text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value < float("inf"):
        raise ArgumentTypeError(f"takes {what}; found {text!r}")
    return value


def duration(text: str) -> float:
    """``90s``, ``45m``, ``1h30m`` or a number of seconds, above 0: as recipes have them."""
    from trio_recipes.language.fields import RefusedError  # noqa: PLC0415  only this option needs it
    from trio_recipes.language.report import Place, Report  # noqa: PLC0415
    from trio_recipes.language.schema import duration as read  # noqa: PLC0415

    try:
        return read(float(text) if text.replace(".", "", 1).isdigit() else text, Place("", Report(None)))
    except RefusedError as error:
        raise ArgumentTypeError(str(error)) from error
