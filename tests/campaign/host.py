"""Host programs, each run as a process of its own: ``python -m tests.campaign.host NAME STORE ARGUMENT…``.

They print JSON lines like the command line does; the first names the session.
"""

import json
import os
import signal
import sys
from typing import Any

import trio

from trio_recipes import open_runtime


def say(event: str, **fields: Any) -> None:
    """Print one line, at once."""
    os.write(1, f"{json.dumps({'event': event, **fields})}\n".encode())


async def cancelled(store: str, recipe: str) -> None:
    """Cancel the host's own scope around the runtime when SIGUSR1 comes."""
    with trio.open_signal_receiver(signal.SIGUSR1) as signals, trio.CancelScope() as scope:
        async with open_runtime(store=store) as runtime:
            session = await runtime.start(recipe)
            say("session_started", session_id=session.id)
            async for _ in signals:
                scope.cancel()
    say("host", cancelled_caught=scope.cancelled_caught)


if __name__ == "__main__":
    trio.run(globals()[sys.argv[1]], *sys.argv[2:])
