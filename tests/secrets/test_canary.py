"""The canary: a secret used in every way, through the real command line, and looked for in every byte that is left."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.frontends.running import PATIENCE, PROGRAM, Run, environment, eventually, invoke, spawned, stands
from trio_recipes.frontends.cli.main import main

NEEDLE = "CANARY-7f3a9c"
CANARY = f'{NEEDLE} "quoted"\n{"0123456789" * 12}'
"""Longer than what messages repeat, and with characters that JSON, shells and terminals treat in their own ways."""

RECIPE = """
name: canary
description: uses a secret in every way
version: 1.0.0
secrets: [canary]
stages:
- name: work
  approval: {required: true, prompt: "May {{canary}} be used?"}
  steps:
  - {id: quiet, type: bash, command: 'test -n "$canary" && echo ok', env_from_context: [canary]}
  - {id: env, type: bash, command: 'test -n "$HEADER" && echo ok', env: {HEADER: "Bearer {{canary}}"}}
  - {id: told, type: bash, command: 'echo "$canary"; sleep 0.2; echo "$canary" >&2', env_from_context: [canary]}
  - {id: slowly, type: bash, env: {C: "{{canary}}"}, output: copy,
     command: 'n=0; while [ $n -lt ${#C} ]; do printf %s "${C:n:9}"; n=$((n+9)); sleep 0.07; done'}
  - {id: asked, agent: reader, prompt: "Use {{canary}}."}
  - {id: answered, agent: parrot, prompt: "Use {{canary}}."}
  - {id: complained, agent: loser, prompt: "Use {{canary}}.", on_error: continue}
  - {id: called, type: function, function: "of_canary:use", args: {token: "{{canary}}", deep: ["{{canary}}"]}}
  - {id: raised, type: function, function: "of_canary:fail", args: {token: "{{canary}}"}, on_error: continue}
  - {id: absent, agent: reader, prompt: "{{canary.x}}", on_error: continue}
  - {id: listed, type: function, function: "of_canary:both", args: {token: "{{canary}}"}, output: both}
  - id: each
    foreach: "{{both}}"
    update_context: {again: "{{item}}"}
    steps:
    - {id: one, type: bash, command: 'test -n "$I"', env: {I: "{{item}}"}}
    - {id: shown, type: bash, command: 'echo {{item}}', on_error: continue}
  - {id: copied, type: bash, command: 'echo {{copy}}', on_error: continue}
  - {id: inner, type: recipe, recipe: inner.yaml, context: {token: "{{canary}}"}, on_error: continue}
  - {id: failing, type: bash, on_error: continue, env_from_context: [canary],
     command: 'exec >&2; printf "%05000d" 0; echo "$canary"; printf "%04000d" 0; exit 3'}
  - {id: wait, type: bash, command: 'echo "at $canary"; until test -e gate; do sleep 0.02; done',
     env_from_context: [canary]}
- name: after
  steps:
  - {id: last, type: bash, command: 'test -n "$canary" && echo ok', env_from_context: [canary]}
finally:
- {id: cleaned, type: bash, command: 'test -n "$canary" && touch cleaned', env_from_context: [canary]}
"""

INNER = """
name: inner
description: is passed a secret
version: 1.0.0
secrets: [token]
steps:
- {id: use, type: bash, command: 'test -n "$token"', env_from_context: [token]}
- {id: fail, type: bash, command: 'echo "no good: $token" >&2; exit 3', env_from_context: [token]}
"""

FUNCTIONS = """
def use(token, deep):
    return len(token) + len(deep[0])

def both(token):
    return [token, "other " + token]

def fail(token):
    raise ValueError(f"{'x' * 2000} bad token {token!r}", token)
"""

AGENTS = """
agents:
  reader: {backend: command, command: [sh, -c, "cat >/dev/null; echo heard"]}
  parrot: {backend: command, command: [cat]}
  loser: {backend: command, command: [sh, -c, "cat >&2; exit 4"]}
"""

PRINTED = {
    ("output", path)
    for path in (
        "work/told",
        "work/slowly",
        "work/answered",
        "work/complained",
        "work/failing",
        "work/wait",
        "work/inner/fail",
    )
} | {("scope_finished", "work/listed")}
"""Where a step's own output may hold it."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name, text in {
        "recipe.yaml": RECIPE,
        "inner.yaml": INNER,
        "of_canary.py": FUNCTIONS,
        "agents.yaml": AGENTS,
    }.items():
        (folder / name).write_text(text)
    return folder


@contextmanager
def running(project: Path) -> Generator[Run]:
    """The recipe, run by a process that knows the value."""
    command = [*PROGRAM, "run", "recipe.yaml", "--agents", "agents.yaml", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with spawned(command, cwd=project, env=environment(canary=CANARY), **pipes) as process:
        yield Run(process)


# --- looking for it ----------------------------------------------------------------------------------------------


@contextmanager
def nothing_on_command_lines() -> Generator[None]:
    """Look at the command line of every process, again and again, until the end."""
    over, found = threading.Event(), set[str]()

    def look() -> None:
        while not over.wait(0.01):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    text = file.read_bytes()
                except OSError:
                    continue
                if NEEDLE.encode() in text:
                    found.add(text.decode("utf-8", "replace"))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert not found


def rows_with_it(database: Path) -> Iterator[tuple[str, str]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for event, path, body, data in connection.execute("SELECT event, path, body, data FROM events"):
            if NEEDLE in body and event != "scope_finished":
                raise AssertionError(f"{event} of {path!r}: {body}")
            if NEEDLE in body or NEEDLE.encode() in (data or b""):
                yield event, path


def bytes_without(database: Path, copy: Path) -> bytes:
    """The database, once the rows that may hold the secret are taken out, freed pages and all."""
    with (
        closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")
        target.execute("DELETE FROM events WHERE event = 'output'")
        target.execute("DELETE FROM events WHERE event = 'scope_finished' AND path = 'work/listed'")
        target.commit()
        target.execute("VACUUM")
    return copy.read_bytes()


def assert_store_is_clean(home: Path) -> None:
    files = [file for file in (home / "store").rglob("*") if file.is_file()]
    databases = [file for file in files if file.name == "session.db"]
    assert databases
    for database in databases:
        assert set(rows_with_it(database)) <= PRINTED
        assert NEEDLE.encode() not in bytes_without(database, home / "copy.db")
        (home / "copy.db").unlink()
    for file in files:
        if not file.name.startswith("session.db"):
            assert NEEDLE.encode() not in file.read_bytes(), file


Look = Callable[..., str]


@pytest.fixture
def look(capfd: pytest.CaptureFixture[str]) -> Look:
    """What a command prints here, where nobody knows the value."""

    def run(*command: str | Path) -> str:
        main([*map(str, command)])
        said = "".join(capfd.readouterr())
        assert NEEDLE not in said, command
        return said

    return run


def assert_nothing_tells(session: str, project: Path, look: Look) -> None:
    """All commands that look."""
    for what in ("show", session), ("list", "--project", str(project)), ("approvals", "--all"):
        look(*what)
        look(*what, "--json")
    for _, path in PRINTED:
        look("show", session, "--output", path)
        look("show", session, "--output", path, "--raw")
    assert "0123456789" not in look("show", session, "--output", "work/slowly")


# --- the canary --------------------------------------------------------------------------------------------------


def test_no_canary_anywhere(project: Path, private_home: Path, look: Look) -> None:
    with nothing_on_command_lines():
        with running(project) as run:
            run.until("output", path="work/wait")
            session = run.session_id
            assert_nothing_tells(session, project, look)
            run.process.kill()
            run.process.wait()
            assert run.process.stderr
            printed = json.dumps(run.events) + run.process.stderr.read()
        assert NEEDLE not in printed
        assert "at ***" in printed
        assert_nothing_tells(session, project, look)
        look("watch", session)
        look("watch", session, "--json")

        (project / "gate").touch()
        paused = invoke("resume", session, "--agents", project / "agents.yaml", canary=CANARY)
        assert paused.returncode == 3, paused.stdout + paused.stderr
        assert NEEDLE not in paused.stdout + paused.stderr
        assert "May *** be used?" in paused.stdout
        assert_nothing_tells(session, project, look)

        assert invoke("approve", session, "work").returncode == 0
        done = invoke("resume", session, "--agents", project / "agents.yaml", "--json", canary=CANARY)
        assert done.returncode == 0, done.stdout + done.stderr
        assert NEEDLE not in done.stdout + done.stderr
        look("watch", session)
        look("watch", session, "--json")
        assert_nothing_tells(session, project, look)
    assert (project / "cleaned").exists()
    assert_store_is_clean(private_home)
    view = json.loads(look("show", session, "--json"))
    failures = {node["path"]: node["failure"]["message"] for node in view["nodes"] if "failure" in node}
    assert failures["work/copied"].startswith("step 'copied': {{copy}} holds the value of a secret")
    assert "env_from_context: [item]" in failures["work/each[0]/shown"]
    assert failures["work/failing"].rstrip("0").endswith(": …***\n")
    assert (view["context"]["canary"], view["context"]["both"]) == ("***", ["***", "other ***"])


def test_no_canary_after_a_cancel_by_another_process(project: Path, private_home: Path, look: Look) -> None:
    with (
        nothing_on_command_lines(),
        running(project) as run,
    ):
        session = run.session_id
        watcher = subprocess.Popen([*PROGRAM, "watch", session], stdout=subprocess.PIPE, text=True, env=environment())
        run.until("output", path="work/wait")
        assert invoke("cancel", session, "--immediate", "--wait").returncode == 0
        run.end()
        printed, _ = watcher.communicate(timeout=PATIENCE)
        assert run.process.stderr
        assert NEEDLE not in json.dumps(run.events) + run.process.stderr.read() + printed
    assert "at ***" in printed
    assert (project / "cleaned").exists()
    assert_nothing_tells(session, project, look)
    assert_store_is_clean(private_home)


def test_no_canary_in_the_log_of_a_detached_run(project: Path, private_home: Path) -> None:
    with nothing_on_command_lines():
        arguments = ("run", "recipe.yaml", "--agents", "agents.yaml", "--detach", "--json")
        session = json.loads(invoke(*arguments, cwd=project, canary=CANARY).stdout)["session_id"]
        log = private_home / "store" / "sessions" / session / "detached.log"
        eventually(lambda: log.exists() and "at ***" in log.read_text())
        (project / "gate").touch()
        invoke("watch", session)
        eventually(lambda: '"session_finished"' in log.read_text())
    assert_store_is_clean(private_home)


# --- a secret that is missing ------------------------------------------------------------------------------------

REFUSAL = "secret 'canary' of recipe 'canary' has no value"


def test_without_its_value_nothing_is_created(project: Path, private_home: Path) -> None:
    for value in ({}, {"canary": ""}):
        done = invoke("run", "recipe.yaml", "--agents", "agents.yaml", cwd=project, **value)
        assert done.returncode == 2
        assert REFUSAL in done.stderr
        assert not list(private_home.glob("store/sessions/*"))


def test_without_its_value_a_resume_changes_nothing(project: Path, private_home: Path, look: Look) -> None:
    with running(project) as run:
        run.until("output", path="work/wait")
        session = run.session_id
        run.process.kill()
    eventually(lambda: stands("interrupted", session))
    before = look("show", session, "--json")
    done = invoke("resume", session, "--agents", project / "agents.yaml")
    assert done.returncode == 2
    assert REFUSAL in done.stderr
    assert look("show", session, "--json") == before
    assert_store_is_clean(private_home)


def test_a_secret_is_not_taken_from_the_command_line(project: Path, private_home: Path) -> None:
    done = invoke("run", "recipe.yaml", "--set", "canary=abcdefgh", cwd=project)
    assert done.returncode == 2
    assert "command lines are visible to other programs; set the environment variable canary" in done.stderr
    assert "abcdefgh" not in done.stderr
    assert not list(private_home.glob("store/sessions/*"))


def test_a_secret_in_a_file_of_variables(project: Path, private_home: Path) -> None:
    (project / "gate").touch()
    (project / "given.json").write_text(json.dumps({"canary": CANARY}))
    done = invoke("run", "recipe.yaml", "--agents", "agents.yaml", "--context", "given.json", cwd=project)
    assert done.returncode == 3, done.stderr
    assert NEEDLE not in done.stdout + done.stderr
    assert_store_is_clean(private_home)
