"""The process that finishes a session which was cancelled or denied while nobody ran it.

It takes the session over, runs the ``finally`` steps that are due, and ends the run. Run as
``python -m trio_recipes.sessions.finisher STORE SESSION``.
"""

from __future__ import annotations

import os
import sys

import trio

from trio_recipes.processes.platform import become_subreaper
from trio_recipes.sessions.opening import open_runtime
from trio_recipes.sessions.policy import OPEN
from trio_recipes.store.base import open_store


def main(root: str, session_id: str) -> None:
    """Finish one session. Raises as ``Runtime.finish`` does; nobody listens, and the session says where it stands."""
    become_subreaper()  # a process of our own, as the command line is one
    store = open_store(root, create=False)
    project = store.standing(session_id).created["project_path"]
    sys.path.append(project)  # for functions of its own, as for the run that began it; last, so that it hides nothing

    async def finish() -> None:
        async with open_runtime(store=store, project=project, policy=OPEN) as runtime:
            session = await runtime.finish(session_id)
            await session.wait()
            if runtime.apart.given_up:  # a function resists its end: nobody waits for it, and all is recorded
                os._exit(0)

    trio.run(finish)


if __name__ == "__main__":
    main(*sys.argv[1:])
