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
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from trio_recipes import CancellationRequestedError, SessionNotFoundError, StepFailedError
from trio_recipes.events import Stamped
from trio_recipes.integrations.asyncio import Runtime, drained, open_runtime

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


@app.exception_handler(SessionNotFoundError)
def not_found(_request: Request, error: SessionNotFoundError) -> JSONResponse:
    """For every route that is about a session."""
    return JSONResponse({"detail": str(error)}, 404)


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
async def report(id: str, runtime: OurRuntime) -> dict[str, Any]:  # noqa: A002  the path's name for it
    """Wait for a session, or tell how it ended. A client that goes away ends the wait, and not the session."""
    result = await runtime.result(id)
    return {"status": str(result.status), "report": result.context.get("report")}


@app.get("/reports/{id}/events")
async def events(id: str, runtime: OurRuntime) -> StreamingResponse:  # noqa: A002, ASYNC124  a route
    """Follow a session, from its first event to its last; also one that has ended."""
    following = runtime.events(id)
    first = await anext(following)  # an answer that has begun can't be a 404 any more

    async def lines() -> AsyncGenerator[str]:
        yield line_of(first)
        async for stamped in following:
            yield line_of(stamped)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


def line_of(stamped: Stamped) -> str:
    """An event as the service tells it."""
    return json.dumps({"seq": stamped.seq, "event": stamped.event.name, "path": stamped.event.path}) + "\n"


@app.delete("/reports/{id}")
async def stop(id: str, runtime: OurRuntime) -> dict[str, Any]:  # noqa: A002
    """Stop a session at once; the answer comes when nothing of it runs any more."""
    accepted = await runtime.cancel(id, "stopped by a client", immediate=True)
    return {"accepted": accepted, "status": str((await runtime.result(id)).status)}
