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
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from trio_recipes import SessionNotFoundError
from trio_recipes.events import Stamped
from trio_recipes.integrations.asyncio import drained, open_runtime

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


def not_found(_request: Request, error: Exception) -> Response:
    """For every route that is about a session."""
    return JSONResponse({"detail": str(error)}, 404)


async def start(request: Request) -> Response:
    """Start a session, and answer as soon as it would survive a crash of the service."""
    session = await request.app.state.runtime.start(RECIPE, await request.json())
    return JSONResponse({"session_id": session.id}, 202)


async def report(request: Request) -> Response:
    """Wait for a session, or tell how it ended. A client that goes away ends the wait, and not the session."""
    result = await request.app.state.runtime.result(request.path_params["id"])
    return JSONResponse({"status": result.status, "report": result.context.get("report")})


async def events(request: Request) -> Response:
    """Follow a session, from its first event to its last; also one that has ended."""
    following = request.app.state.runtime.events(request.path_params["id"])
    first = await anext(following)  # an answer that has begun can't be a 404 any more

    async def lines() -> AsyncGenerator[str]:
        yield line_of(first)
        async for stamped in following:
            yield line_of(stamped)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


def line_of(stamped: Stamped) -> str:
    """An event as the service tells it."""
    return json.dumps({"seq": stamped.seq, "event": stamped.event.name, "path": stamped.event.path}) + "\n"


async def stop(request: Request) -> Response:
    """Stop a session at once; the answer comes when nothing of it runs any more."""
    runtime, name = request.app.state.runtime, request.path_params["id"]
    accepted = await runtime.cancel(name, "stopped by a client", immediate=True)
    return JSONResponse({"accepted": accepted, "status": (await runtime.result(name)).status})


routes = [
    Route("/reports", start, methods=["POST"]),
    Route("/reports/{id}", report),
    Route("/reports/{id}/events", events),
    Route("/reports/{id}", stop, methods=["DELETE"]),
]
app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={SessionNotFoundError: not_found})
