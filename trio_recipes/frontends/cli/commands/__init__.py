"""The commands there are, and where each lives."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from importlib import import_module
from typing import Protocol, cast

COMMANDS = {
    "run": ("run", "run a recipe"),
    "resume": ("resume", "go on with a session where it stopped"),
    "cancel": ("cancel", "ask a session, or a part of it, to stop"),
    "approvals": ("approvals", "list the gates at which sessions wait for a person"),
    "approve": ("approve", "let a session pass a gate"),
    "deny": ("deny", "refuse to let a session pass a gate: that is final"),
    "list": ("listing", "list sessions"),
    "show": ("show", "show one session: what has run, what came of it, who stopped it"),
    "watch": ("watch", "follow a session that runs elsewhere"),
    "validate": ("validate", "check recipes without running anything"),
    "graph": ("graph", "draw a recipe as a Mermaid, Graphviz or SVG diagram"),
    "agents": ("agents", "list what answers the agents of a recipe, and whether it can be reached"),
    "mcp": ("mcp", "serve recipes to MCP clients: editors, agents, chat programs"),
    "export": ("export", "write a session into a file, for another machine or another time"),
    "import": ("import_", "take a session from a file into the store"),
    "clean": ("clean", "delete old sessions that completed"),
}

LOOKS = frozenset({"approvals", "list", "show", "validate", "graph", "agents", "export"})
"""Those that do nothing but print: what they could not print, they have not done."""


class Command(Protocol):
    """What the module of a command offers."""

    def add_options(self, parser: ArgumentParser) -> None:
        """Add the command's own arguments."""
        ...

    def main(self, options: Namespace) -> int:
        """Do it, and return the exit code."""
        ...


def load(name: str) -> Command:
    """Import the command ``name``, and nothing that only others need."""
    return cast(Command, import_module(f"{__name__}.{COMMANDS[name][0]}"))
