"""What readers try first does what the pages say: the example recipes, and the programs of the guides, word by word."""

import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.docs.test_docs import ROOT, python_blocks

EXAMPLES = ROOT / "docs" / "examples"
REVIEW = """\
name: review
description: d
version: 1.0.0
context: {file_path: ""}
steps: [{id: review, type: bash, command: 'echo "read $FILE"', env: {FILE: "{{file_path}}"}, output: report}]
"""
RUN_FASTAPI = """

import asyncio


async def drive():
    async with app.router.lifespan_context(app):
        started = await start("a.py")
        result = await app.state.runtime.result(started["session_id"])
        print(result.unwrap()["report"], [route.path for route in app.routes if "reviews" in route.path])


asyncio.run(drive())
"""

RUN_BACKEND = """

from pathlib import Path
from trio_recipes import open_runtime

ASKS = "{name: a, description: d, version: 1.0.0, steps: [{id: s, agent: speller, prompt: hello, output: said}]}"


async def drive():
    Path("asks.yaml").write_text(ASKS)
    async with open_runtime(agents=Speller()) as runtime:
        session = await runtime.start("asks.yaml")
        print((await session.wait()).unwrap()["said"])


trio.run(drive)
"""

RESUMED = """\
name: review
description: d
version: 1.0.0
context: {model: small}
steps:
  - {id: fetch, type: bash, command: echo fetched}
  - id: review
    foreach: "{{list}}"
    as: each
    collect: said
    steps:
      - {id: report, type: bash, command: 'test "$MODEL" != small && echo "$MODEL"', env: {MODEL: "{{model}}"}}
"""
AROUND_RESUMING = """
import trio, trio_recipes


async def main():
    async with trio_recipes.open_runtime() as runtime:
        first = await runtime.start("review.yaml", {{"list": [0, 1, 2, 3]}})
        session_id = first.id
        assert (await first.wait()).status == "failed"
{block}
        result = await session.wait()
        print(result.unwrap()["said"][3].strip(), (await again.wait()).unwrap()["said"][3].strip(), "again")


trio.run(main)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout of two commits, with the example recipes where the README's commands look for them."""
    folder = tmp_path / "checkout"
    shutil.copytree(EXAMPLES, folder / "docs" / "examples", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "long.py").write_text("def long():\n" + "    print()  # TODO\n" * 9)
    (folder / "review.yaml").write_text(REVIEW)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    run([*git, "init", "-q"], folder)
    run([*git, "add", "long.py"], folder)
    run([*git, "commit", "-qm", "one"], folder)
    run([*git, "commit", "-qm", "two", "--allow-empty"], folder)
    return folder


def run(command: Sequence[str | Path], folder: Path) -> str:
    """What a command prints; it has to succeed."""
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_repo_health_reports_on_a_checkout(checkout: Path) -> None:
    recipe = checkout / "docs" / "examples" / "repo-health.yaml"
    small = [part for name in ("max_files=2", "max_weeks=1", "pause=0") for part in ("--set", name)]
    lines = run([sys.executable, "-m", "trio_recipes", "run", recipe, "--json", *small], checkout).splitlines()
    ended = json.loads(lines[-1])
    assert ended["status"] == "completed"
    report = ended["final_output"].splitlines()
    assert report[0] == "Health of checkout"
    assert report[3].split() == ["long.py", "10", "9", "long:", "10", "today"]
    assert report[-1] == "Commits per week, newest first: 2; 2 in all."


def test_the_program_of_the_readme_runs(checkout: Path) -> None:
    ((_, program),) = python_blocks(ROOT / "README.md")
    quick = program.replace('{"max_files": 3}', '{"max_files": 3, "max_weeks": 1, "pause": 0}')
    assert quick != program
    assert run([sys.executable, "-c", quick], checkout).startswith("Health of checkout")


@pytest.mark.parametrize(
    ("page", "block", "more", "said"),
    [
        ("agents.md", 0, RUN_BACKEND, "hello"),
        ("embedding.md", 0, "", "completed"),
        ("asyncio.md", 0, "", "read src/auth.py"),
        ("asyncio.md", 1, RUN_FASTAPI, "read a.py"),
    ],
)
def test_a_program_of_the_guides_runs(checkout: Path, page: str, block: int, more: str, said: str) -> None:
    _, program = python_blocks(ROOT / "docs" / "how-to" / page)[block]
    if "fastapi" in program:
        pytest.importorskip("fastapi")
    assert said in run([sys.executable, "-W", "error", "-c", program + more], checkout)


def test_the_commands_of_the_readme_for_stopping_and_going_on(checkout: Path) -> None:
    """`cancel`, `show` and `resume` as it has them, of a session that another process runs."""
    program = [sys.executable, "-m", "trio_recipes"]
    run([*program, "run", "docs/examples/repo-health.yaml", "--detach", "--set", "pause=60"], checkout)
    run([*program, "cancel", "@last", "--immediate", "--wait"], checkout)
    assert "cancelled" in run([*program, "show", "@last"], checkout)
    gone_on = run([*program, "resume", "@last", "--set", "pause=0", "--set", "max_weeks=1"], checkout)
    assert "Commits per week" in gone_on
    assert "completed" in run([*program, "show", "@last"], checkout)


def test_the_program_of_the_guide_to_resuming_runs(checkout: Path) -> None:
    """It resumes by a plan, with a deadline, and once more from a path; what it takes for given stands around it."""
    (checkout / "review.yaml").write_text(RESUMED)
    ((_, block),) = python_blocks(ROOT / "docs" / "how-to" / "resume.md")
    program = AROUND_RESUMING.format(block=textwrap.indent(block, " " * 8))
    assert run([sys.executable, "-W", "error", "-c", program], checkout) == "large large again\n"
