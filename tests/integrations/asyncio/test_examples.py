"""The examples of the embedding guide, run as their readers would; the web service under a real uvicorn."""

import ast
import asyncio
import inspect
import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.campaign.lab import Lab, Runner, eventually
from trio_recipes.events import Level, RunEnded, ScopeStarted, Source
from trio_recipes.store.base import open_store
from trio_recipes.testing import assert_no_survivors

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"

SERVE = """
import importlib, sys, uvicorn
service = importlib.import_module(sys.argv[1])
service.GRACE = float(sys.argv[3])
uvicorn.run(service.app, port=int(sys.argv[2]), loop=sys.argv[4], timeout_graceful_shutdown=int(sys.argv[5]) or None)
"""

SERVICES = ["embed_starlette", *(["embed_fastapi"] if find_spec("fastapi") else [])]
UNDER = [
    *((service, "asyncio") for service in SERVICES),
    *([("embed_starlette", "uvloop")] if find_spec("uvloop") else []),
]


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


def test_a_suite_with_pytest_asyncio(lab: Lab) -> None:
    """In a process of its own: here, that plugin is kept away from the tests."""
    pytest.importorskip("pytest_asyncio")
    lab.root.joinpath("pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    lab.root.joinpath("test_app.py").write_text((EXAMPLES / "embed_pytest.py").read_text())
    for options in ([], ["-p", "no:trio", "--asyncio-mode=auto", "--asyncio-debug"]):
        runner = lab.python("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *options, "test_app.py")
        assert runner.wait() == 0, runner.stdout
        assert "5 passed" in runner.stdout


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
    """One of the services under uvicorn, and a client."""

    def __init__(self, runner: Runner, port: int) -> None:
        self.runner, self.port = runner, port

    def call(self, method: str, path: str = "", **body: Any) -> str:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/reports{path}",
            method=method,
            data=json.dumps(body).encode() if body else None,
            headers={"Content-Type": "application/json"} if body else {},
        )
        with urllib.request.urlopen(request, timeout=15) as response:
            return str(response.read().decode())

    def start(self, **context: Any) -> str:
        return str(json.loads(self.call("POST", **context))["session_id"])

    def ask(self, method: str, path: str, **body: Any) -> HTTPConnection:
        """Send a request, and leave the answer for later."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=15)
        connection.request(
            method, f"/reports{path}", json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        return connection

    def answers(self) -> bool:
        try:
            self.call("GET", "/none")
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            return False
        return True


@contextmanager
def serving(lab: Lab, example: str, grace: float = 5.0, loop: str = "asyncio", patience: int = 0) -> Generator[Service]:
    """A service; uvicorn waits so many seconds for its clients, 0: for ever."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    runner = lab.python(
        "-c",
        SERVE,
        example,
        str(port),
        str(grace),
        loop,
        str(patience),
        env={"PYTHONPATH": f"{EXAMPLES}:{EXAMPLES.parents[1]}"},
    )
    service = Service(runner, port)
    eventually(lambda: service.answers() or runner.code is not None, "the service")
    assert runner.code is None, runner.stderr
    yield service


@pytest.mark.parametrize(("example", "loop"), UNDER)
def test_a_web_service_runs_follows_and_stops_sessions(lab: Lab, folder: Path, example: str, loop: str) -> None:
    lab.store = lab.root.parent / "home" / "store"
    with serving(lab, example, loop=loop) as service:
        session = service.start(folder=str(folder))
        assert json.loads(service.call("GET", f"/{session}"))["report"] == "3 files, 6 lines"
        lines = [json.loads(line) for line in service.call("GET", f"/{session}/events").splitlines()]
        assert [lines[0]["event"], lines[-1]["event"]] == ["session_created", "run_ended"]
        with pytest.raises(HTTPError, match="404"):
            service.call("GET", "/0123456789abcdef/events")
        session = service.start(folder=str(folder), pause=60)
        assert json.loads(service.call("DELETE", f"/{session}")) == {"accepted": True, "status": "cancelled"}
        assert_no_survivors(session)
        service.runner.signal(signal.SIGTERM)
        assert service.runner.wait() == -signal.SIGTERM
        assert "Application shutdown complete" in service.runner.stderr


@pytest.mark.parametrize("example", SERVICES)
@pytest.mark.parametrize(
    ("number", "pause", "grace"),
    [(signal.SIGTERM, 1, 15.0), (signal.SIGTERM, 60, 0.2), (signal.SIGINT, 60, 0.2)],
    ids=["steps finish", "grace ends", "ctrl-c"],
)
def test_told_to_end_it_drains_and_leaves_nothing(
    lab: Lab, folder: Path, example: str, number: signal.Signals, pause: float, grace: float
) -> None:
    lab.store = lab.root.parent / "home" / "store"
    with serving(lab, example, grace) as service:
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


@pytest.mark.parametrize(("example", "loop"), UNDER)
def test_a_client_that_waits_does_not_hold_up_the_end_and_is_answered(
    lab: Lab, folder: Path, example: str, loop: str
) -> None:
    """Though uvicorn waits for it without a limit."""
    lab.store = lab.root.parent / "home" / "store"
    with serving(lab, example, grace=0.1, loop=loop) as service:
        session = service.start(folder=str(folder), pause=60)
        waits, follows = service.ask("GET", f"/{session}"), service.ask("GET", f"/{session}/events")
        eventually(lambda: in_hand(lab, session))
        service.runner.signal(signal.SIGTERM)
        assert json.loads(waits.getresponse().read())["status"] == "cancelled"
        assert json.loads(follows.getresponse().read().splitlines()[-1])["event"] == "run_ended"
        assert service.runner.wait() == -signal.SIGTERM
        waits.close()
        follows.close()
    assert_no_survivors(session)


def test_a_client_that_runs_a_session_is_told_that_the_service_ends(lab: Lab, folder: Path) -> None:
    pytest.importorskip("fastapi")
    lab.store = lab.root.parent / "home" / "store"
    with serving(lab, "embed_fastapi", grace=0.1) as service:
        client = service.ask("POST", "/now", folder=str(folder), pause=60)
        session = eventually(lambda: only_session(lab))
        eventually(lambda: in_hand(lab, session))
        service.runner.signal(signal.SIGTERM)
        assert client.getresponse().status == 503
        assert service.runner.wait() == -signal.SIGTERM
        client.close()


def test_a_second_signal_waits_for_no_grace(lab: Lab, folder: Path) -> None:
    lab.store = lab.root.parent / "home" / "store"
    with serving(lab, "embed_starlette", grace=60.0) as service:
        session = service.start(folder=str(folder), pause=60)
        waits = service.ask("GET", f"/{session}")
        eventually(lambda: in_hand(lab, session))
        service.runner.signal(signal.SIGTERM)
        eventually(lambda: lab.status(session) == "cancelling")
        service.runner.signal(signal.SIGTERM)
        assert json.loads(waits.getresponse().read())["status"] == "cancelled"
        assert service.runner.wait() == -signal.SIGTERM
        waits.close()
    assert stopped_by(lab, session) == (Source.SIGNAL, Level.IMMEDIATE)


@pytest.fixture
def fast(lab: Lab) -> Generator[Service]:
    """FastAPI's service, whose store the laboratory reads."""
    pytest.importorskip("fastapi")
    lab.store = lab.root.parent / "home" / "store"
    with serving(lab, "embed_fastapi", grace=15.0, patience=1) as service:
        yield service


def test_a_client_that_runs_and_waits_gets_the_report_or_the_reason(fast: Service, folder: Path) -> None:
    assert json.loads(fast.call("POST", "/now", folder=str(folder))) == {"report": "3 files, 6 lines"}
    (folder / "no.file").mkdir()
    with pytest.raises(urllib.error.HTTPError) as caught:
        fast.call("POST", "/now", folder=str(folder))
    with caught.value as answer:
        assert (answer.code, "Is a directory" in json.loads(answer.read())["detail"]) == (500, True)


def test_a_client_that_leaves_stops_what_it_waited_for(lab: Lab, fast: Service, folder: Path) -> None:
    client = fast.ask("POST", "/now", folder=str(folder), pause=60)
    session = eventually(lambda: only_session(lab))
    eventually(lambda: in_hand(lab, session))
    client.close()
    eventually(lambda: lab.status(session) == "cancelled")
    assert_no_survivors(session)
    assert stopped_by(lab, session) == (Source.HOST, Level.IMMEDIATE)
    assert "Traceback" not in fast.runner.stderr


def test_a_route_that_is_cancelled_stops_what_it_runs(lab: Lab, fast: Service, folder: Path) -> None:
    """As uvicorn does with routes whose clients still wait when its patience with them ends."""
    client = fast.ask("POST", "/now", folder=str(folder), pause=60)
    session = eventually(lambda: only_session(lab))
    eventually(lambda: in_hand(lab, session))
    fast.runner.signal(signal.SIGTERM)
    assert fast.runner.wait() == -signal.SIGTERM
    client.close()
    assert_no_survivors(session)
    assert stopped_by(lab, session) == (Source.HOST, Level.IMMEDIATE)


def only_session(lab: Lab) -> str:
    """The one session of the store, or nothing yet."""
    return next((name for name, _ in open_store(str(lab.store)).standings()), "") if lab.store.exists() else ""


def stopped_by(lab: Lab, session: str) -> tuple[Source, Level]:
    """Who stopped a session, and how."""
    ended = lab.events(session)[-1]
    assert isinstance(ended, RunEnded)
    assert ended.cancellation is not None
    return ended.cancellation.source, ended.cancellation.level
