"""``mcp``: serve recipes to an MCP client, over stdin and stdout or over HTTP."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from trio_recipes.errors import ConfigurationError
from trio_recipes.frontends.cli.outlet import STDERR
from trio_recipes.frontends.cli.parsing import check_project, seconds

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.frontends.mcp.serving import Serve

_TOKEN = "TRIO_RECIPES_MCP_TOKEN"  # noqa: S105  the name of a variable
_HTTP_GRACE = 10.0
"""Over HTTP a client that cancels a call, and one that has died, look the same: steps in hand don't get for ever."""


def add_options(parser: ArgumentParser) -> None:
    """The options of ``mcp``."""
    parser.add_argument("--project", metavar="DIR", help="the project's folder, where commands run (default: here)")
    parser.add_argument("--agents", metavar="FILE", help="who answers agent steps: an agents file, or 'echo'")
    parser.add_argument("--recipes", metavar="DIR", action="append", help="take recipes from this folder only")
    parser.add_argument("--allow-approve", action="store_true", help="let the client's model decide on approval gates")
    parser.add_argument("--import-functions", action="store_true", help="allow package.module:callable in recipes")
    parser.add_argument(
        "--grace", metavar="SECONDS", type=seconds, help="of steps in hand when a call is cancelled (HTTP: 10)"
    )
    parser.add_argument("--durability", choices=("power", "process"), default="power", help="as for run")
    parser.add_argument("--http", action="store_true", help="serve streamable HTTP, not stdin and stdout")
    parser.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", help="with --http: where to listen")
    parser.add_argument("--port", metavar="N", type=int, default=8766, help="with --http (8766; 0: any that is free)")
    parser.add_argument(
        "--token-env", metavar="NAME", default=_TOKEN, help=f"the variable that holds the token for HTTP ({_TOKEN})"
    )
    parser.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="what HTTP clients may call this machine"
    )


def main(options: Namespace) -> int:
    """Serve until a signal comes, or the client has gone; returns the exit code."""
    check_project(options.project)
    try:
        return _serve_http(options) if options.http else _serve_wire(options)
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("trio_recipes"):
            raise
        package = (missing.name or "").partition(".")[0]
        text = f"the package {package!r} is missing: pip install 'trio-recipes[mcp]'"
        raise ConfigurationError(text) from missing


def _serve_wire(options: Namespace) -> int:
    from trio_recipes.frontends.mcp.wire import claim, serve_wire  # noqa: PLC0415  not for --help

    if os.isatty(0):
        STDERR.line("waiting for an MCP client: one starts this command by itself; Ctrl+C stops")
    wire = claim()
    return _serve(lambda server, ending: serve_wire(server, wire, ending), options, options.grace)


def _serve_http(options: Namespace) -> int:
    from trio_recipes.frontends.mcp.http import Address, serve_http, take_token  # noqa: PLC0415

    names = frozenset(name.lower() for name in options.allow_host)
    address = Address(options.host, options.port, names, take_token(options.token_env), options.token_env)
    grace = _HTTP_GRACE if options.grace is None else options.grace
    return _serve(lambda server, _: serve_http(server, address, _announce), options, grace)


def _announce(url: str) -> None:
    STDERR.line(f"serving MCP at {url}; Ctrl+C stops")


def _serve(serve: Serve, options: Namespace, grace: float | None) -> int:
    import trio  # noqa: PLC0415

    from trio_recipes.frontends.mcp.serving import Settings, serve_until_ended  # noqa: PLC0415
    from trio_recipes.processes.platform import become_subreaper  # noqa: PLC0415
    from trio_recipes.sessions.policy import Policy  # noqa: PLC0415

    become_subreaper()
    if options.import_functions:
        sys.path.append(os.path.realpath(options.project or "."))
    settings = Settings(
        policy=Policy(functions="any" if options.import_functions else "registered", recipe_roots=options.recipes),
        store=options.store,
        agents=options.agents,
        project=options.project,
        durability=options.durability,
        allow_approve=options.allow_approve,
        grace=grace,
    )
    return trio.run(partial(serve_until_ended, settings, serve))
