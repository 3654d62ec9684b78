"""The reference pages name all there is: commands, options, exit codes, events, public names."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

import trio_recipes
from trio_recipes.events import KINDS
from trio_recipes.frontends.cli import exits
from trio_recipes.frontends.cli.commands import COMMANDS, load

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
COMMAND_LINE = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
PYTHON = (REFERENCE / "python.md").read_text(encoding="utf-8")


def section(command: str) -> str:
    """What the page says under the heading of a command."""
    found = re.search(rf"^### `{command}\b.*?(?=^##)", COMMAND_LINE, re.MULTILINE | re.DOTALL)
    assert found, f"no heading for {command}"
    return found[0]


def options_of(command: str) -> set[str]:
    parser = argparse.ArgumentParser(add_help=False)
    load(command).add_options(parser)
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    return {option for action in shown for option in action.option_strings}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_and_no_other(command: str) -> None:
    told = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(re.findall(r"`([^`]*)`", section(command)))))
    assert told == options_of(command)


def test_every_exit_code_is_explained() -> None:
    codes = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", COMMAND_LINE, re.MULTILINE)} == codes


def test_every_event_is_explained() -> None:
    table = COMMAND_LINE.partition("## Events as JSON")[2].partition("## Environment")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(KINDS)


def test_every_public_name_is_explained_and_no_other() -> None:
    spans = re.findall(r"`([^`]+)`", PYTHON)
    told = {name for span in spans for name in re.findall(r"\w+", span)}
    assert set(trio_recipes.__all__) - {"__version__"} <= told
    classes = {span for span in spans if re.fullmatch(r"[A-Z]\w+", span)}
    assert classes <= set(trio_recipes.__all__)


@pytest.mark.parametrize("name", ["Runtime", "SessionManager"])
def test_every_method_is_explained(name: str) -> None:
    methods = [method for method, value in vars(getattr(trio_recipes, name)).items() if callable(value)]
    public = {method for method in methods if not method.startswith("_")}
    assert [method for method in sorted(public) if not re.search(rf"`[^`]*\b{method}\b[^`]*`", PYTHON)] == []
