"""Finishing a session that was cancelled or denied while nobody ran it, and whose ``finally`` steps are due.

Whoever asks must not wait for them, and may be a command that imports no trio: a detached process takes the session
over, runs the ``finally`` steps and ends the run (decisions.md, "Sessions, runs, states").
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from trio_recipes.store.approvals import decide
from trio_recipes.store.requests import submit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_recipes.store.approvals import OpenGate
    from trio_recipes.store.requests import Ack
    from trio_recipes.store.session_file import SessionFile


def request(file: SessionFile, cancellation: Mapping[str, Any], *, escalates: bool) -> Ack:
    """Ask a session to stop, and see to it that it is finished: see :func:`trio_recipes.store.requests.submit`."""
    ack = submit(file, cancellation, escalates=escalates)
    if ack.unfinished:
        start(file)
    return ack


def settle(file: SessionFile, stage: str, **decision: Any) -> OpenGate:
    """Decide on a gate, and see to it that a denial is final: see :func:`trio_recipes.store.approvals.decide`."""
    gate = decide(file, stage, **decision)
    if gate.unfinished:
        start(file)
    return gate


def start(file: SessionFile) -> None:
    """Start a finisher, detached. Two of them are no harm: one gets the session, the other is refused and ends."""
    from trio_recipes.processes import detached  # noqa: PLC0415  trio: only where a finisher is needed

    subprocess.Popen(
        [sys.executable, "-m", __name__, str(file.layout.root), file.session_id],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=detached(os.environ),
        cwd="/",
        start_new_session=True,
    )


def main(root: str, session_id: str) -> None:
    """What the finisher does: run the session's ``finally`` steps, and nothing else."""
    import trio  # noqa: PLC0415

    from trio_recipes.sessions.opening import open_runtime  # noqa: PLC0415
    from trio_recipes.store.base import open_store  # noqa: PLC0415

    store = open_store(root, create=False)
    project = store.standing(session_id).created["project_path"]

    async def finish() -> None:
        async with open_runtime(store=store, project=project, import_functions=True) as runtime:
            session = await runtime.finish(session_id)
            await session.wait()

    trio.run(finish)


if __name__ == "__main__":
    main(*sys.argv[1:])
