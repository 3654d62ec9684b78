"""A real Jupyter kernel: the example notebook from its first cell to its last, and cells that are interrupted.

Jupyter is large, so it is no part of the development environment: `nox -s notebook` installs it and runs this.
"""

import json
import os
import time
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.lab import PATIENCE, Lab, eventually
from trio_recipes.events import Level, RunEnded, Source
from trio_recipes.store.base import open_store
from trio_recipes.testing import assert_no_survivors

nbclient = pytest.importorskip("nbclient", reason="needs Jupyter: nox -s notebook")
pytest.importorskip("ipykernel", reason="needs Jupyter: nox -s notebook")
nbformat = pytest.importorskip("nbformat")
manager = pytest.importorskip("jupyter_client.manager")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


def test_the_example_notebook_from_its_first_cell_to_its_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIO_RECIPES_STORE", f"sqlite://{tmp_path}/store")
    recipe = (EXAMPLES / "embed-report.yaml").read_text()
    (tmp_path / "embed-report.yaml").write_text(recipe)
    notebook = nbformat.read(EXAMPLES / "embed_notebook.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [said(cell) for cell in notebook.cells if cell["cell_type"] == "code"]
    report = f"'1 files, {len(recipe.splitlines())} lines'"
    assert [shown[1], shown[2], shown[4]] == [report, "<SessionStatus.RUNNING: 'running'>", report]
    assert shown[3].startswith("(<SessionStatus.CANCELLED: 'cancelled'>, 'count")
    for name, _ in open_store(f"sqlite://{tmp_path}/store").standings():
        assert_no_survivors(name)


def said(cell: Any) -> str:
    """What a cell shows under itself."""
    return "".join(output["data"]["text/plain"] for output in cell["outputs"] if output["output_type"] != "stream")


class Kernel:
    """A kernel, and the blocking client that asks it."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.manager, self.client = manager.start_new_kernel(cwd=str(folder), env={**os.environ, **env})

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def ask(self, code: str) -> str:
        """Have a cell executed, and wait for it; what it shows, or the name of what it raised."""
        return self.answer(self.client.execute(code))

    def begun(self, code: str) -> str:
        """Send a cell, and return when it runs: a cell that has not begun can't be interrupted."""
        cell = str(self.client.execute(f"print('begun', flush=True)\n{code}"))
        assert next(content for kind, content in self.messages(cell) if kind == "stream")["text"] == "begun\n"
        return cell

    def messages(self, cell: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """What comes of a cell that was sent."""
        give_up = time.monotonic() + PATIENCE
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.0, give_up - time.monotonic()))
            if message["parent_header"].get("msg_id") == cell:
                yield message["msg_type"], message["content"]

    def answer(self, cell: str) -> str:
        """Wait for the end of a cell that was sent."""
        shown = ""
        for kind, content in self.messages(cell):
            if kind == "execute_result":
                shown = content["data"]["text/plain"]
            elif kind == "error":
                shown = content["ename"]
            elif kind == "status" and content["execution_state"] == "idle":
                break
        return shown


@pytest.fixture
def kernel(lab: Lab) -> Generator[Kernel]:
    """A kernel with a runtime open, in the laboratory's project and store."""
    found = Kernel(lab.root, {"TRIO_RECIPES_STORE": f"sqlite://{lab.store}"})
    try:
        found.ask(
            "from contextlib import AsyncExitStack\n"
            "from trio_recipes.integrations.asyncio import open_runtime\n"
            "notebook = AsyncExitStack()\n"
            "runtime = await notebook.enter_async_context(open_runtime())"
        )
        yield found
    finally:
        found.close()


def test_a_session_goes_on_between_cells(kernel: Kernel, lab: Lab) -> None:
    lab.hold("first")
    recipe = lab.write("one", steps=[lab.step("first"), lab.step("second")])
    kernel.ask(f"session = await runtime.start({str(recipe)!r})")
    eventually(lambda: lab.begun("first"))
    lab.release()
    eventually(lambda: lab.begun("second"))
    assert kernel.ask("(await session.wait()).status.value") == "'completed'"
    assert kernel.ask("session").startswith("<Session ")
    assert kernel.ask("await notebook.aclose()") == ""


def test_interrupting_a_cell_stops_what_it_runs_and_the_kernel_goes_on(kernel: Kernel, lab: Lab) -> None:
    lab.hold("first")
    recipe = lab.write("one", steps=[lab.step("first"), lab.step("second")])
    session = ""
    for turn in range(1, 4):
        cell = kernel.client.execute(f"await runtime.run({str(recipe)!r})")
        eventually(partial(has_begun, lab, turn))
        kernel.manager.interrupt_kernel()
        assert kernel.answer(cell) in ("CancelledError", "KeyboardInterrupt")
        session = json.loads(kernel.ask("(await runtime.list())[0][0]").replace("'", '"'))
        assert_no_survivors(session)
        ended = lab.events(session)[-1]
        assert isinstance(ended, RunEnded)
        assert ended.cancellation is not None
        assert (ended.cancellation.source, ended.cancellation.level) == (Source.HOST, Level.IMMEDIATE)
    lab.release()
    assert kernel.ask(f"(await (await runtime.resume({session!r})).wait()).status.value") == "'completed'"


def has_begun(lab: Lab, times: int) -> bool:
    """Whether the first step has begun so often."""
    return lab.executions().get("first", 0) == times


def test_interrupting_a_cell_that_only_waits_leaves_the_session_alone(kernel: Kernel, lab: Lab) -> None:
    lab.hold("first")
    recipe = lab.write("one", steps=[lab.step("first")])
    kernel.ask(f"session = await runtime.start({str(recipe)!r})")
    eventually(lambda: lab.begun("first"))
    cell = kernel.begun("await session.wait()")
    kernel.manager.interrupt_kernel()
    assert kernel.answer(cell) in ("CancelledError", "KeyboardInterrupt")
    assert kernel.ask("session.status.value") == "'running'"
    lab.release()
    assert kernel.ask("(await session.wait()).status.value") == "'completed'"


def test_a_kernel_that_is_shut_down_leaves_no_process(kernel: Kernel, lab: Lab) -> None:
    lab.hold("first")
    recipe = lab.write("one", steps=[lab.step("first")])
    kernel.ask(f"session = await runtime.start({str(recipe)!r})")
    session = kernel.ask("session.id").strip("'")
    eventually(lambda: lab.begun("first"))
    kernel.manager.shutdown_kernel(now=True)
    assert_no_survivors(session, within=PATIENCE)
    eventually(lambda: lab.status(session) == "interrupted")
