"""A web service that runs recipes.

Try: uvicorn embed_starlette:app
For FastAPI: embed_fastapi.py.

    POST /reports {"folder": "."}     starts a session          GET    /reports/ID     waits for the report
    GET  /reports/ID/events           follows it (JSON Lines)   DELETE /reports/ID     stops it
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from trio_recipes.integrations.asyncio import Session, drained, open_runtime

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
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    """Hold one runtime for all requests. On SIGTERM, sessions end gracefully; they can be resumed."""
    functions: dict[str, Any] = {"list_files": list_files, "sum_up": sum_up}
    async with open_runtime(functions=functions) as runtime, drained(runtime, GRACE):
        app.state.runtime = runtime
        yield


def session_of(request: Request) -> Session:
    """The session that a request is about."""
    session: Session | None = request.app.state.runtime.sessions.get(request.path_params["id"])
    if session is None:
        raise HTTPException(404, "this service runs no such session")
    return session


async def start(request: Request) -> Response:
    """Start a session, and answer as soon as it would survive a crash of the service."""
    session = await request.app.state.runtime.start(RECIPE, await request.json())
    return JSONResponse({"session_id": session.id}, 202)


async def report(request: Request) -> Response:
    """Wait for a session. A client that goes away ends the wait, and not the session."""
    result = await session_of(request).wait()
    return JSONResponse({"status": result.status, "report": result.context.get("report")})


async def events(request: Request) -> Response:  # noqa: ASYNC124  a route
    """Follow a session, from its first event to its last."""
    session = session_of(request)

    async def lines() -> AsyncGenerator[str]:
        async for stamped in session.events():
            yield json.dumps({"seq": stamped.seq, "event": stamped.event.name, "path": stamped.event.path}) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


async def stop(request: Request) -> Response:
    """Stop a session at once; the answer is true when nothing of it runs any more."""
    session = session_of(request)
    reply = session.cancel("stopped by a client", immediate=True)
    await session.wait()
    return JSONResponse({"accepted": reply.accepted, "status": session.status})


routes = [
    Route("/reports", start, methods=["POST"]),
    Route("/reports/{id}", report),
    Route("/reports/{id}/events", events),
    Route("/reports/{id}", stop, methods=["DELETE"]),
]
app = Starlette(routes=routes, lifespan=lifespan)
