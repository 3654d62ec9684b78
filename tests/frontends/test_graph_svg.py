"""``graph --format svg``: Graphviz draws; what it can't is somebody's to mend."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.frontends.test_graph import hostile
from tests.language.helpers import HEAD
from trio_recipes.frontends.cli.main import main
from trio_recipes.frontends.diagrams.svg import svg

graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    file = tmp_path / "r.yaml"
    file.write_text(f"{HEAD}steps: [{{id: first, type: bash, command: ls}}]")
    return file


def stand_in(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program `dot` where ours is looked for first."""
    program = folder / "bin" / "dot"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


@graphviz
def test_the_picture(recipe_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", str(recipe_file), "--format", "svg"]) == 0
    picture = ET.fromstring(capfd.readouterr().out)
    assert picture.tag == f"{SVG}svg"
    assert "first" in [text.text for text in picture.iter(f"{SVG}text")]


@graphviz
@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "]]>", "&lt;b&gt; &amp; 'é'", '"><a href="x">', "\\N\\l\\"]
)
def test_no_text_breaks_out(text: str) -> None:
    diagram, label = hostile(text)
    picture = ET.fromstring(svg(diagram))
    assert {element.tag for element in picture.iter()} <= {
        f"{SVG}{tag}" for tag in ("svg", "g", "title", "text", "polygon", "path", "ellipse")
    }
    assert label in [(found.text or "").replace("\xa0", " ") for found in picture.iter(f"{SVG}text")]


def test_it_is_given_the_dot_text_and_its_answer_is_printed(
    recipe_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, 'echo "<!-- $1 -->"; cat', monkeypatch)
    assert main(["graph", str(recipe_file), "--format", "dot"]) == 0
    text = capfd.readouterr().out
    assert main(["graph", str(recipe_file), "--format", "svg"]) == 0
    assert capfd.readouterr().out == f"<!-- -Tsvg -->\n{text}"


def test_without_graphviz(
    recipe_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["graph", str(recipe_file), "--format", "svg"]) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert "apt install graphviz" in told.err


def test_a_drawing_that_fails(
    recipe_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, "echo 'out of ink' >&2; exit 1", monkeypatch)
    assert main(["graph", str(recipe_file), "--format", "svg"]) == 2
    assert "Graphviz could not draw this recipe (out of ink)" in capfd.readouterr().err
