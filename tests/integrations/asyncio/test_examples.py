"""The examples of the embedding guide, run as their readers would; the web service under a real uvicorn."""

import ast
import asyncio
import inspect
import json
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.lab import Lab, Runner, eventually
from trio_recipes.events import Level, RunEnded, ScopeStarted
from trio_recipes.testing import assert_no_survivors

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"

SERVE = """
import sys, uvicorn, embed_starlette
embed_starlette.GRACE = float(sys.argv[2])
uvicorn.run(embed_starlette.app, port=int(sys.argv[1]), loop=sys.argv[3], timeout_graceful_shutdown=1)
"""


@pytest.fixture
def folder(lab: Lab) -> Path:
    """Three files of two lines each."""
    made = lab.root / "data"
    made.mkdir()
    for name in "abc":
        (made / f"{name}.txt").write_text("one\ntwo\n")
    return made


@pytest.mark.parametrize("example", ["embed_trio", "embed_asyncio"])
def test_a_program(lab: Lab, folder: Path, example: str) -> None:
    runner = lab.python(str(EXAMPLES / f"{example}.py"), str(folder))
    assert runner.wait() == 0, runner.stderr
    assert runner.stdout.strip().removeprefix(f"{folder}: ") == "3 files, 6 lines"
    assert runner.stderr == ""


def test_the_notebook(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each code cell as IPython runs it: in one namespace and one loop, with ``await`` at the top."""
    notebook = json.loads((EXAMPLES / "embed_notebook.ipynb").read_text())
    monkeypatch.chdir(folder)
    (folder / "embed-report.yaml").write_text((EXAMPLES / "embed-report.yaml").read_text())
    namespace: dict[str, Any] = {}
    with asyncio.Runner() as runner:
        values = [
            runner.run(_executed("".join(cell["source"]), namespace))
            for cell in notebook["cells"]
            if cell["cell_type"] == "code"
        ]
    report = f"4 files, {6 + len((folder / 'embed-report.yaml').read_text().splitlines())} lines"
    assert [str(value) for value in values[1:-1]] == [report, "running", str(values[3]), report]
    assert str(values[3][0]) == "cancelled"


async def _executed(code: str, namespace: dict[str, Any]) -> Any:
    """Run a cell and return the value of the expression at its end, if it ends in one."""
    tree = ast.parse(code)
    if isinstance(tree.body[-1], ast.Expr):
        tree.body[-1] = ast.copy_location(ast.Assign([ast.Name("_", ast.Store())], tree.body[-1].value), tree.body[-1])
    namespace["_"] = None
    compiled = compile(ast.fix_missing_locations(tree), "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(compiled, namespace)
    if inspect.isawaitable(running):
        await running
    return namespace["_"]


# --- the web service ---------------------------------------------------------------------------------------------


class Service:
    """``embed_starlette`` under uvicorn, and a client."""

    def __init__(self, runner: Runner, port: int) -> None:
        self.runner, self.port = runner, port

    def call(self, method: str, path: str = "", **body: Any) -> str:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/reports{path}",
            method=method,
            data=json.dumps(body).encode() if body else None,
        )
        with urllib.request.urlopen(request, timeout=15) as response:
            return str(response.read().decode())

    def start(self, **context: Any) -> str:
        return str(json.loads(self.call("POST", **context))["session_id"])

    def answers(self) -> bool:
        try:
            self.call("GET", "/none")
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


@contextmanager
def serving(lab: Lab, grace: float = 5.0, loop: str = "asyncio") -> Generator[Service]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    runner = lab.python(
        "-c", SERVE, str(port), str(grace), loop, env={"PYTHONPATH": f"{EXAMPLES}:{EXAMPLES.parents[1]}"}
    )
    service = Service(runner, port)
    eventually(lambda: service.answers() or runner.code is not None, "the service")
    assert runner.code is None, runner.stderr
    yield service


def test_a_web_service_runs_follows_and_stops_sessions(lab: Lab, folder: Path) -> None:
    lab.store = lab.root.parent / "home" / "store"
    with serving(lab) as service:
        session = service.start(folder=str(folder))
        assert json.loads(service.call("GET", f"/{session}"))["report"] == "3 files, 6 lines"
        lines = [json.loads(line) for line in service.call("GET", f"/{session}/events").splitlines()]
        assert [lines[0]["event"], lines[-1]["event"]] == ["session_created", "run_ended"]
        session = service.start(folder=str(folder), pause=60)
        assert json.loads(service.call("DELETE", f"/{session}")) == {"accepted": True, "status": "cancelled"}
        assert_no_survivors(session)
        service.runner.signal(signal.SIGTERM)
        assert service.runner.wait() == -signal.SIGTERM
        assert "Application shutdown complete" in service.runner.stderr


@pytest.mark.parametrize(
    ("number", "pause", "grace"),
    [(signal.SIGTERM, 1, 15.0), (signal.SIGTERM, 60, 0.2), (signal.SIGINT, 60, 0.2)],
    ids=["steps finish", "grace ends", "ctrl-c"],
)
def test_told_to_end_it_drains_and_leaves_nothing(
    lab: Lab, folder: Path, number: signal.Signals, pause: float, grace: float
) -> None:
    lab.store = lab.root.parent / "home" / "store"
    with serving(lab, grace) as service:
        session = service.start(folder=str(folder), pause=pause)
        eventually(lambda: in_hand(lab, session))
        service.runner.signal(number)
        assert service.runner.wait() in (0, -number), service.runner.stderr
        assert "Application shutdown complete" in service.runner.stderr
    assert_no_survivors(session)
    ended = lab.events(session)[-1]
    assert isinstance(ended, RunEnded)
    assert ended.cancellation is not None
    assert ended.cancellation.level == (Level.GRACEFUL if grace > 1 else Level.IMMEDIATE)


def in_hand(lab: Lab, session: str) -> bool:
    """Whether the parallel steps have begun."""
    paths = [event.path for event in lab.events(session) if isinstance(event, ScopeStarted)]
    return sum(path.startswith("count[") for path in paths) == 3


def test_a_client_that_waits_does_not_hold_up_the_end(lab: Lab, folder: Path) -> None:
    with serving(lab, grace=0.1) as service:
        session = service.start(folder=str(folder), pause=60)
        client = threading.Thread(target=_ignoring_errors, args=(service, f"/{session}"))
        client.start()
        eventually(lambda: "GET" in service.runner.stdout or client.is_alive())
        service.runner.signal(signal.SIGTERM)
        assert service.runner.wait() == -signal.SIGTERM
        client.join()
    assert_no_survivors(session)


def _ignoring_errors(service: Service, path: str) -> None:
    with suppress(OSError):
        service.call("GET", path)
