"""The documentation keeps its word: links lead somewhere, Python compiles, example recipes are valid."""

import ast
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RECIPES = [
    path
    for path in sorted((ROOT / "docs" / "examples").rglob("*.yaml"))
    if re.search(r"^(steps|stages):", path.read_text(encoding="utf-8"), re.MULTILINE)
]

FENCED = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(<?([^)>\s]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
EXTRAS = re.compile(r"trio-recipes\[([\w,]+)\]")
PAGE = re.compile(r"\b[\w-]+\.md\b")
WITH_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def without_code(text: str) -> str:
    return CODE_SPAN.sub("", FENCED.sub("", text))


def anchors(page: Path) -> set[str]:
    """Return the names that code hosts give to a page's headings."""
    headings = HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page that lead to no file, or to no heading of a page."""
    links = [a or b for a, b in LINK.findall(without_code(page.read_text(encoding="utf-8")))]
    return [link for link in links if not WITH_SCHEME.match(link) and not leads_somewhere(page, link)]


def leads_somewhere(page: Path, link: str) -> bool:
    file, _, anchor = link.partition("#")
    target = page.parent / file if file else page
    has_headings = anchor and target.suffix == ".md" and target.exists()
    return anchor in anchors(target) if has_headings else target.exists()


def python_blocks(page: Path) -> list[tuple[int, str]]:
    """Return the Python blocks of a page with the line that each starts in."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, block.start()) + 2, textwrap.dedent(block[3]))
        for block in FENCED.finditer(text)
        if block[2] == "python"
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks_compile(page: Path) -> None:
    for line, text in python_blocks(page):
        # Blocks may show the inside of an async function.
        compile("\n" * (line - 1) + text, name_of(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_example_recipes_are_valid() -> None:
    command = [sys.executable, "-m", "trio_recipes", "validate", *map(str, RECIPES)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_the_checker_finds_what_is_broken(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading, here\n[ok](page.md) [ok](#a-heading-here) [ok](https://example.org/x)\n"
        "[no](gone.md) [no](page.md#other)\n[ref]: gone.txt\n`[code](x.md)`\n```python\nx = (\n```\n"
    )
    assert broken_links(page) == ["gone.md", "page.md#other", "gone.txt"]
    assert python_blocks(page) == [(7, "x = (\n")]


def test_sources_send_readers_to_pages_that_are_there() -> None:
    pages = {page.name for page in PAGES}
    sources = [file for folder in ("trio_recipes", "benchmarks") for file in (ROOT / folder).rglob("*.py")]
    gone = {(name_of(file), page) for file in sources for page in PAGE.findall(file.read_text()) if page not in pages}
    assert gone == set()


def test_extras_that_people_are_told_to_install_are_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    texts = [file.read_text() for file in (*PAGES, *(ROOT / "trio_recipes").rglob("*.py"))]
    told = {extra for text in texts for found in EXTRAS.findall(text) for extra in found.split(",")}
    assert told
    assert told <= extras.keys()


def test_the_tests_that_the_page_on_security_names_are_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "security.md").read_text()))
    written = {
        name for file in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)\(", file.read_text())
    }
    assert len(named) > 20
    assert named <= written
