"""The process that finishes a session which was cancelled or denied while nobody ran it.

It takes the session over, runs the ``finally`` steps that are due, and ends the run. Run as
``python -m trio_recipes.sessions.finisher STORE SESSION``.
"""

from __future__ import annotations

import os
import sys

import trio

from trio_recipes.agents.load import configured_agents
from trio_recipes.errors import ConfigurationError
from trio_recipes.events import Warned
from trio_recipes.processes.platform import become_subreaper
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.policy import OPEN
from trio_recipes.store.base import open_store
from trio_recipes.store.session_file import SessionFile


def main(root: str, session_id: str) -> None:
    """Finish one session. Raises as ``Runtime.finish`` does; nobody listens, and the session says where it stands."""
    become_subreaper()  # a process of our own, as the command line is one
    store = open_store(root, create=False)
    project = store.standing(session_id).created["project_path"]
    sys.path.append(project)  # for functions of its own, as for the run that began it; last, so that it hides nothing
    agents, problem = _agents_of(store.file(session_id), project)

    async def finish() -> None:
        async with open_runtime(store=store, project=project, policy=OPEN, agents=agents) as runtime:
            session = await runtime.finish(session_id)
            if problem:
                session.masked.emit(Warned(message=problem))
            await session.wait()
            if runtime.apart.given_up:  # a function resists its end: nobody waits for it, and all is recorded
                os._exit(0)

    trio.run(finish)


def _agents_of(file: SessionFile, project: str) -> tuple[str | None, str]:
    """What named the agents of the last run; None, and why, if that is not there any more: then others have to do."""
    with file.reading() as connection:
        name = file.owner(connection)[2].get("agents")
    if not isinstance(name, str):
        return None, ""
    try:
        configured_agents(name, project)
    except ConfigurationError as error:
        return None, f"the agents of the run before can't be had, so those that are configured here answer: {error}"
    return name, ""


if __name__ == "__main__":
    main(*sys.argv[1:])
