"""The tutorial, followed word by word: what it types is typed, and what it shows is what comes."""

from __future__ import annotations

import getpass
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_docs import FENCED, ROOT, python_blocks
from tests.frontends.running import environment, eventually, shown, spawned

PAGE = ROOT / "docs" / "tutorial.md"
PROGRAM = f"{sys.executable} -m trio_recipes "
VARIES = {
    r"[0-9a-f]{16}-\d{8}-\d{6}_recipe": "SESSION",
    r"\d+\.\d+s": "SECONDS",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d": "TIME",
    r"(process|pid) \d+": r"\1 N",
}
INTERRUPTED = "^C"
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}

pytestmark = pytest.mark.slow


def blocks(kind: str) -> list[str]:
    """What the page has of that kind, in order."""
    return [block[3] for block in FENCED.finditer(PAGE.read_text(encoding="utf-8")) if block[2] == kind]


def dialogues() -> list[tuple[str, str]]:
    """Each command of the page, and what comes of it."""
    text = "".join(blocks("console"))
    return re.findall(r"^\$ trio-recipes (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)


def alike(text: str, folder: Path) -> str:
    """A text without what is another at each run, and on each machine."""
    text = text.replace(str(folder), "/home/ada/first").replace(f"by {getpass.getuser()} (", "by ada (")
    for pattern, name in VARIES.items():
        text = re.sub(pattern, name, text)
    return text


class Reader:
    """Who follows the page, in a folder of their own.

    Args:
        folder: where ``words.yaml`` is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe, self.comment = blocks("yaml")
        self.said: dict[str, str] = {}
        self.write(self.recipe.replace("pause: 2", "pause: 1"))  # there is nobody here who has to read

    def write(self, recipe: str) -> None:
        (self.folder / "words.yaml").write_text(recipe)

    def type(self, command: str, *, press: bool) -> str:
        """What comes of a command, on both of its streams; Ctrl+C is pressed once the first pass has ended."""
        said = ""
        with spawned(["/bin/bash", "-c", f"exec {PROGRAM}{command}"], **PIPES, cwd=self.folder) as process:
            assert process.stdout
            for line in process.stdout:
                said += line
                if press and "✓ count[0]" in line:
                    process.send_signal(signal.SIGINT)
                    said += f"{INTERRUPTED}\n"
        return said

    def prepare(self, command: str) -> None:
        """What the page asks to be done before a command, in words."""
        if "cancel" in command:
            eventually(lambda: [node for node in shown()["nodes"] if node["path"] == "count[1]"])
        if "--recipe" in command:
            text = (self.folder / "words.yaml").read_text()
            self.write(text.replace('echo "$counts words"', 'echo "$counts in all"'))
        if "--agents" in command:
            self.write((self.folder / "words.yaml").read_text() + self.comment)


def test_whoever_follows_the_tutorial_sees_what_it_shows(tmp_path: Path) -> None:
    (folder := tmp_path / "first").mkdir()
    reader = Reader(folder)
    for command, expected in dialogues():
        reader.prepare(command)
        press = INTERRUPTED in expected
        said = alike(reader.type(command, press=press), folder)
        wanted = alike(expected, folder)
        assert sorted(said.splitlines()) == sorted(wanted.splitlines()), command  # two streams have no common order
    ((_, program),) = python_blocks(PAGE)
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, env=environment(), check=True
    )
    assert ran.stdout.startswith("failed ")
    assert "count[3]" in ran.stdout
