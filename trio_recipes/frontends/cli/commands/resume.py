"""``resume``: go on with a session where it stopped; with another recipe, other variables, or from elsewhere."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from trio_recipes.frontends.cli.detach import start_detached
from trio_recipes.frontends.cli.running import add_running_options, given_limits, idle_settings, refuse_secrets, tell

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trio_recipes.sessions.runtime import Runtime
    from trio_recipes.sessions.session import Session
    from trio_recipes.store.session_file import SessionFile
    from trio_recipes.values import Value


def add_options(parser: ArgumentParser) -> None:
    """The options of ``resume``."""
    parser.add_argument("session", metavar="SESSION", help="an id, its first letters, or @last")
    parser.add_argument("--plan", action="store_true", help="only say what would run, and why; nothing is changed")
    parser.add_argument("--recipe", metavar="FILE", help="go on with this one; what is different in it runs again")
    parser.add_argument(
        "--set", metavar="K=V", action="append", default=[], help="a variable; what refers to it reruns"
    )
    parser.add_argument(
        "--from", metavar="PATH", dest="since", help="run PATH and what follows again, in a new session"
    )
    add_running_options(parser)


def main(options: Namespace) -> int:
    """Run what had not finished, here or in the background; or only say what that would be."""
    if options.detach and not options.plan:
        return start_detached(options)
    from trio_recipes.frontends.cli.variables import given_variables  # noqa: PLC0415  not for --help
    from trio_recipes.store.base import open_store  # noqa: PLC0415

    store = open_store(options.store, create=False)
    file = store.file(store.resolve(options.session))
    context = given_variables(None, options.set)
    if context:
        _refuse_secrets(file, options)
    options.project = store.standing(file.session_id).created["project_path"]
    if options.plan:
        from trio_recipes.frontends.cli.planning import show_plan  # noqa: PLC0415

        return show_plan(file, context, options)
    from trio_recipes.frontends.cli.execution import execute  # noqa: PLC0415  trio

    return execute(partial(_begin, file.session_id, context, options), options)


def _refuse_secrets(file: SessionFile, options: Namespace) -> None:
    from trio_recipes.language.load import load_recipe  # noqa: PLC0415
    from trio_recipes.sessions.revising import recipe_of  # noqa: PLC0415

    refuse_secrets(load_recipe(options.recipe) if options.recipe else recipe_of(file), options.set)


async def _begin(session_id: str, context: dict[str, Value], options: Namespace, runtime: Runtime) -> Session:
    recipe, limits = options.recipe, given_limits(options)
    if options.since is None:
        session = await runtime.resume(session_id, recipe=recipe, context=context, limits=limits)
    else:
        session = await runtime.resume_from(session_id, options.since, recipe=recipe, context=context, limits=limits)
    await tell(idle_settings(session.engine.frame.recipe, options.set))
    return session
