"""From arguments to an exit code: no traceback unless ``--debug``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from trio_recipes.errors import ConfigurationError, InternalError, RecipesError
from trio_recipes.frontends.cli.commands import LOOKS
from trio_recipes.frontends.cli.exits import FAILED, OK, REFUSED
from trio_recipes.frontends.cli.outlet import STDOUT
from trio_recipes.frontends.cli.parsing import PROG, parse
from trio_recipes.frontends.printable import printable

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Do what ``arguments`` say; returns the exit code."""
    try:
        command, options = parse(arguments)
        options.arguments = arguments
        return _printed(command.main(options), options)
    except SystemExit as leaving:  # argparse, which has said why
        return int(leaving.code or OK)
    except RecipesError as error:
        return _report(error, debug="--debug" in arguments)
    except BrokenPipeError:
        _discard_stdout()
        return OK
    except Exception as error:
        return _report_other(error, debug="--debug" in arguments)


def _printed(code: int, options: Namespace) -> int:
    """The exit code, and a word about what could not be printed: scripts must not take half of it for all."""
    if STDOUT.lost is None:
        return code
    why = printable(STDOUT.lost.strerror or str(STDOUT.lost))
    sys.stderr.write(f"{PROG}: standard output can't be written: {why}; not all was printed\n")
    return FAILED if code == OK and options.command in LOOKS else code


def _report(error: RecipesError, *, debug: bool) -> int:
    if debug:
        _print_traceback(error)
    sys.stderr.write(f"{PROG}: {printable(str(error))}\n")
    return FAILED if isinstance(error, InternalError) else REFUSED


def _report_other(error: Exception, *, debug: bool) -> int:
    if isinstance(error, FileNotFoundError) and _is_nowhere():
        why = "the current folder is gone: go to one that is there, or name the project's with --project"
        return _report(ConfigurationError(why), debug=debug)
    return _report_bug(error, debug=debug)


def _is_nowhere() -> bool:
    try:
        os.getcwd()  # noqa: PTH109  pathlib is not loaded here
    except FileNotFoundError:
        return True
    return False


def _report_bug(error: Exception, *, debug: bool) -> int:
    if debug:
        _print_traceback(error)
    hint = "" if debug else "; --debug shows where"
    what = f"{type(error).__name__}: {printable(str(error))}"
    sys.stderr.write(f"{PROG}: internal error, please report it: {what}{hint}\n")
    return FAILED


def _print_traceback(error: Exception) -> None:
    import traceback  # noqa: PLC0415  for --debug only

    traceback.print_exception(error)


def _discard_stdout() -> None:
    """The reader has gone: that is no failure of ours, and nobody is left to tell."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
