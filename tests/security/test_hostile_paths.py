"""Names of recipes that are no names of files: each is a failure of whoever named it, and nobody waits or breaks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import trio
import yaml

from tests.frontends.running import invoke
from trio_recipes import RecipesTool, SessionStatus, open_runtime, validate_recipe
from trio_recipes.failure import FailureKind
from trio_recipes.plainfile import read_plain

NAMES = {
    "too long": "a" * 5000 + ".yaml",
    "nobody's home": "~nobody-of-that-name/x.yaml",
    "a circle of links": "circle.yaml",
    "a FIFO": "fifo.yaml",
    "a device": "/dev/zero",
    "a folder": ".",
    "a NUL character": "a\0b.yaml",
    "half a character": "a\ud800b.yaml",
    "a bundle, with a NUL character": "@b:a\0b.yaml",
    "a bundle of nobody": "@ghost:x.yaml",
}
IN_NO_RECIPE = {"half a character"}
"""What YAML can't say, and the answer of an agent can."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "trio-recipes.toml").write_text('[bundles]\nb = "."\nghost = "~nobody-of-that-name"\n')
    return tmp_path


def calling(project: Path, name: str, **more: object) -> Path:
    """A recipe that calls ``name``."""
    steps = [{"id": "a", "type": "recipe", "recipe": name}]
    file = project / "calls.yaml"
    file.write_text(yaml.safe_dump({"name": "calls", "description": "d", "version": "1.0.0", "steps": steps, **more}))
    return file


@pytest.mark.parametrize("name", sorted(NAMES.keys() - IN_NO_RECIPE))
def test_in_a_recipe(project: Path, name: str) -> None:
    file = calling(project, NAMES[name])
    assert [problem for problem in validate_recipe(file, project=project) if not problem.warning]
    graph = invoke("graph", file, cwd=project)
    assert "internal error" not in graph.stderr


@pytest.mark.parametrize("name", NAMES)
async def test_from_a_template(project: Path, name: str) -> None:
    file = calling(project, "{{which}}")
    with trio.fail_after(20):
        async with open_runtime(store=project / "store", project=project) as runtime:
            session = await runtime.start(file, {"which": NAMES[name]})
            result = await session.wait()
    assert result.status is SessionStatus.FAILED
    assert result.failure is not None
    assert (result.failure.kind, result.failure.path) == (FailureKind.TEMPLATE, "a")


@pytest.mark.parametrize("name", NAMES)
async def test_from_a_model(project: Path, name: str) -> None:
    async with open_runtime(store=project / "store", project=project) as runtime:
        result = await RecipesTool(runtime).execute({"operation": "execute", "recipe_path": NAMES[name]})
    assert not result.success
    assert "internal" not in json.dumps(str(result.error)).lower()


@pytest.mark.parametrize("command", ["validate", "graph", "run"])
def test_nobody_waits_for_a_fifo(project: Path, command: str) -> None:
    refused = invoke(command, "fifo.yaml", cwd=project)
    assert refused.returncode == 2
    assert "no plain file" in refused.stderr + refused.stdout


@pytest.mark.parametrize("trap", ["fifo", "device"])
@pytest.mark.parametrize("command", ["run calls.yaml", "agents", "validate calls.yaml", "run asks.yaml"])
def test_nobody_waits_for_a_project_file_that_is_none(tmp_path: Path, command: str, trap: str) -> None:
    """``trio-recipes.toml``, which every project may have: a FIFO could not even be left by a signal."""
    calling(tmp_path, "@b:x.yaml")
    head = {"name": "asks", "description": "d", "version": "1.0.0"}
    steps = [{"id": "a", "agent": "someone", "prompt": "p"}]
    (tmp_path / "asks.yaml").write_text(yaml.safe_dump({**head, "steps": steps}))
    configuration = tmp_path / "trio-recipes.toml"
    if trap == "fifo":
        os.mkfifo(configuration)
    else:
        configuration.symlink_to("/dev/zero")
    refused = invoke(*command.split(), cwd=tmp_path)
    assert (refused.returncode, "trio-recipes.toml: can't be read: it is no plain file" in refused.stderr) == (2, True)


def descriptors() -> set[str]:
    """Those that this process has open."""
    return {each.name for each in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("name", ["fifo.yaml", "/dev/zero", ".", "circle.yaml"])
def test_what_is_no_plain_file_leaves_no_descriptor_open(project: Path, name: str) -> None:
    before = descriptors()
    with pytest.raises(OSError, match=r"no plain file|Is a directory|Too many levels"):
        read_plain(project / name)
    assert descriptors() <= before


@pytest.mark.parametrize("command", ["list --all", "show aaaa", "cancel aaaa", "approvals --all"])
def test_a_fifo_in_the_place_of_a_session_holds_up_nobody(tmp_path: Path, command: str) -> None:
    """SQLite would wait for somebody to write into it."""
    store = tmp_path / "store"
    head = {"name": "r", "description": "d", "version": "1.0.0"}
    (tmp_path / "r.yaml").write_text(
        yaml.safe_dump({**head, "steps": [{"id": "a", "type": "bash", "command": "true"}]})
    )
    assert invoke("run", "r.yaml", "--store", store, cwd=tmp_path).returncode == 0
    session = store / "sessions" / "aaaaaaaaaaaaaaaa-20260101-000000_recipe"
    session.mkdir(0o700)
    os.mkfifo(session / "session.db")
    asked = invoke(*command.split(), "--store", store, cwd=tmp_path)
    assert asked.returncode == (2 if "aaaa" in command else 0), asked.stderr
    assert ("completed" in asked.stdout) == (command == "list --all")
