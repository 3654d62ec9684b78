"""LangGraph with its SQLite checkpointer. ``sync`` is its durable way: a step is stored before the next begins.

Steps one after the other use the plain saver, which is the faster one; what has to be cancelled runs in asyncio, where
the task of the run is what one cancels.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from benchmarks.peers.conversation import main
from benchmarks.peers.engine import Engine
from benchmarks.peers.work import settings, shell

Update = dict[str, Any]


class State(TypedDict):
    """Of all graphs: where a loop is, how many there are, who has finished, and what a shell runs."""

    at: int
    count: int
    done: Annotated[list[int], operator.add]
    command: str


class LangGraph(Engine):
    """Graphs over one database."""

    saver: Any
    async_saver: Any

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        file = str(self.folder / "langgraph.db")
        with SqliteSaver.from_conn_string(file) as self.saver:
            async with AsyncSqliteSaver.from_conn_string(file) as self.async_saver:
                yield

    async def about(self) -> dict[str, str]:
        self.saver.setup()
        names = ("journal_mode", "synchronous")
        found = {name: self.saver.conn.execute(f"PRAGMA {name}").fetchone()[0] for name in names}
        durability = f"durability={self.flavour}, SQLite {settings(found)}"
        return {
            "version": f"LangGraph {version('langgraph')}",
            "durability": durability,
            "cancelling": "the asyncio task of the run is cancelled, nothing is recorded",
            "resuming": "invoked again for the same thread",
        }

    async def run_steps(self, run: str, count: int) -> None:
        await asyncio.to_thread(self._loop(self.saver).invoke, {"at": 0, "count": count}, **self._options(run, count))

    async def run_parallel(self, run: str, count: int) -> None:
        await self._fan(self._tick_one).ainvoke({"count": count}, **self._options(run))

    async def run_waiting(self, run: str, count: int) -> None:
        await self._fan(self._wait_one).ainvoke({"count": count}, **self._options(run))

    async def run_shell(self, run: str, command: str) -> None:
        graph = StateGraph(State)
        graph.add_node("shell", _shell)
        graph.add_edge(START, "shell")
        await graph.compile(checkpointer=self.async_saver).ainvoke({"command": command}, **self._options(run))

    async def run_long(self, run: str, count: int) -> None:
        await self._long().ainvoke({"at": 0, "count": count}, **self._options(run, count))

    async def resume_long(self, run: str, count: int) -> None:
        await self._long().ainvoke(None, **self._options(run, count))

    def _options(self, run: str, count: int = 0) -> dict[str, Any]:
        config = {"configurable": {"thread_id": run}, "recursion_limit": count + 25, "max_concurrency": None}
        return {"config": config, "durability": self.flavour}

    def _loop(self, saver: Any) -> Any:
        """A node that comes back to itself."""
        graph = StateGraph(State)
        graph.add_node("tick", self._tick)
        graph.add_edge(START, "tick")
        graph.add_conditional_edges("tick", lambda state: "tick" if state["at"] < state["count"] else END)
        return graph.compile(checkpointer=saver)

    def _long(self) -> Any:
        graph = StateGraph(State)
        graph.add_node("tick", self._tick)
        graph.add_node("last", self._wait_one)
        graph.add_edge(START, "tick")
        graph.add_conditional_edges("tick", lambda state: "tick" if state["at"] < state["count"] else "last")
        return graph.compile(checkpointer=self.async_saver)

    def _fan(self, node: Callable[..., Any]) -> Any:
        graph = StateGraph(State)
        graph.add_node("one", node)
        graph.add_conditional_edges(START, lambda state: [Send("one", {}) for _ in range(state["count"])])
        return graph.compile(checkpointer=self.async_saver)

    def _tick(self, state: State) -> Update:
        self.ticks()
        return {"at": state["at"] + 1}

    async def _tick_one(self, state: State) -> Update:
        self.ticks()
        return {"done": [1]}

    async def _wait_one(self, state: State) -> Update:
        await self.waiting()
        return {"done": [1]}


async def _shell(state: State) -> Update:
    await shell(state["command"])
    return {"done": [1]}


if __name__ == "__main__":
    main(LangGraph)
