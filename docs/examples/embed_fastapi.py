"""A web service in FastAPI that runs recipes.

Try: uvicorn embed_fastapi:app

    POST /reports {"folder": "."}     starts a session          GET    /reports/ID     waits for the report
    GET  /reports/ID/events           follows it (JSON Lines)   DELETE /reports/ID     stops it
    POST /reports/now {"folder": "."} runs it as long as the client waits
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from trio_recipes import CancellationRequestedError, StepFailedError
from trio_recipes.integrations.asyncio import Runtime, Session, drained, open_runtime

RECIPE = Path(__file__).with_name("embed-report.yaml")
GRACE = 5.0
"""Seconds that steps in hand may take when the service is told to end."""


def list_files(folder: str) -> list[str]:
    """A plain function: it is called in a thread."""
    return sorted(str(file) for file in Path(folder).resolve().glob("*.*"))


async def sum_up(files: list[str], counts: list[int]) -> str:
    """An asyncio function: it runs in the service's loop."""
    await asyncio.sleep(0.01)
    return f"{len(files)} files, {sum(int(count) for count in counts)} lines"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Hold one runtime for all requests. On SIGTERM, sessions end gracefully; they can be resumed."""
    functions: dict[str, Any] = {"list_files": list_files, "sum_up": sum_up}
    async with open_runtime(functions=functions) as runtime, drained(runtime, GRACE):
        app.state.runtime = runtime
        yield


app = FastAPI(lifespan=lifespan)


class Wanted(BaseModel):
    """What a report is wanted of."""

    folder: str
    pause: float = 0


def runtime_of(request: Request) -> Runtime:
    """The service's runtime."""
    runtime: Runtime = request.app.state.runtime
    return runtime


OurRuntime = Annotated[Runtime, Depends(runtime_of)]


def session_of(id: str, runtime: OurRuntime) -> Session:  # noqa: A002  the path's name for it
    """The session that a request is about."""
    session = runtime.sessions.get(id)
    if session is None:
        raise HTTPException(404, "this service runs no such session")
    return session


OurSession = Annotated[Session, Depends(session_of)]


@app.post("/reports", status_code=202)
async def start(wanted: Wanted, runtime: OurRuntime) -> dict[str, str]:
    """Start a session, and answer as soon as it would survive a crash of the service."""
    session = await runtime.start(RECIPE, wanted.model_dump())
    return {"session_id": session.id}


@app.post("/reports/now")
async def run(wanted: Wanted, runtime: OurRuntime, request: Request) -> dict[str, Any]:
    """Run a session for a client that waits. If it leaves, or the service has to end, the session is stopped."""
    try:
        async with asyncio.timeout(None) as limit:
            leaving = asyncio.create_task(end_when_gone(request, limit))
            try:
                context = await runtime.run(RECIPE, wanted.model_dump())
            finally:
                leaving.cancel()
    except TimeoutError:
        raise HTTPException(499, "the client has gone") from None
    except CancellationRequestedError as error:
        raise HTTPException(503, str(error)) from error
    except StepFailedError as error:
        raise HTTPException(500, str(error)) from error
    return {"report": context["report"]}


async def end_when_gone(request: Request, limit: asyncio.Timeout) -> None:
    """End a time limit when the client has gone: by itself, nobody cancels a route that has a client no more."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    limit.reschedule(0)


@app.get("/reports/{id}")
async def report(session: OurSession) -> dict[str, Any]:
    """Wait for a session. A client that goes away ends the wait, and not the session."""
    result = await session.wait()
    return {"status": str(result.status), "report": result.context.get("report")}


@app.get("/reports/{id}/events")
async def events(session: OurSession) -> StreamingResponse:  # noqa: ASYNC124  a route
    """Follow a session, from its first event to its last."""

    async def lines() -> AsyncGenerator[str]:
        async for stamped in session.events():
            yield json.dumps({"seq": stamped.seq, "event": stamped.event.name, "path": stamped.event.path}) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@app.delete("/reports/{id}")
async def stop(session: OurSession) -> dict[str, Any]:
    """Stop a session at once; the answer is true when nothing of it runs any more."""
    reply = session.cancel("stopped by a client", immediate=True)
    await session.wait()
    return {"accepted": reply.accepted, "status": str(session.status)}
