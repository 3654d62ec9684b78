"""Host programs with code that resists: ``python -m tests.campaign.resisting NAME STORE ARGUMENT…``."""

from __future__ import annotations

import sys
import time

import trio

from tests.campaign.host import say
from trio_recipes import AgentReply, AgentRequest, open_runtime
from trio_recipes.runtime.ports import AgentCall


class Swallower:
    """A backend that takes no notice of being cancelled, and goes on talking for two seconds."""

    async def ask(self, request: AgentRequest, call: AgentCall) -> AgentReply:
        """Answer, too late."""
        call.stream("early")
        say("asked")
        until = time.monotonic() + 2
        while time.monotonic() < until:
            try:
                await trio.sleep(2)
            except BaseException:  # noqa: ASYNC103  what this backend is for
                with trio.CancelScope(shield=True):
                    await trio.sleep(0.05)
        call.stream(" late")
        return AgentReply(text="early late")


async def swallower(store: str, recipe: str) -> None:
    """Run it, and tell when the session is over and when the runtime has been left."""
    async with open_runtime(store=store, agents=Swallower(), stop_timeout=0.3) as runtime:
        session = await runtime.start(recipe)
        say("session_started", session_id=session.id)
        while session.engine.cancellation is None:  # noqa: ASYNC110
            await trio.sleep(0.01)
        began = time.monotonic()
        result = await session.wait()
        still = [str(held) for held in result.still_running]
        say("result", status=result.status, still_running=still, seconds=time.monotonic() - began)
    say("left", given_up=runtime.apart.given_up)


if __name__ == "__main__":
    trio.run(globals()[sys.argv[1]], *sys.argv[2:])
