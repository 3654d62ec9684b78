"""What the package's own code never does, found in its syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "trio_recipes"
FILES = sorted(PACKAGE.rglob("*.py"))

FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "input", "breakpoint"}
FORBIDDEN_ATTRIBUTES = {
    ("os", "system"),
    ("os", "popen"),
    ("yaml", "load"),
    ("yaml", "load_all"),
    ("yaml", "full_load"),
    ("yaml", "unsafe_load"),
    ("yaml", "Loader"),
    ("yaml", "UnsafeLoader"),
    ("yaml", "FullLoader"),
    ("tempfile", "mktemp"),
    ("subprocess", "getoutput"),
    ("sqlite3", "enable_load_extension"),
}
FORBIDDEN_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"}

# Recipes name functions as package.module:callable: allowed on the command line, refused elsewhere (Policy.functions).
IMPORTS_BY_NAME = {"steps/named.py"}
PRODUCT = [file for file in FILES if file.parent != PACKAGE / "testing"]  # that is for programs that test themselves


def offences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of everything that may not be."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                yield node.lineno, f"{name}()"
            case ast.Call(keywords=keywords) if any(
                keyword.arg == "shell"
                and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
                for keyword in keywords
            ):
                yield node.lineno, "shell="
            case ast.Attribute(value=ast.Name(id=module), attr=name) if (module, name) in FORBIDDEN_ATTRIBUTES:
                yield node.lineno, f"{module}.{name}"
            case ast.Import(names=names):
                yield from ((node.lineno, each.name) for each in names if each.name.split(".")[0] in FORBIDDEN_MODULES)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in FORBIDDEN_MODULES:
                yield node.lineno, module
            case _:
                pass


def imports_by_computed_name(tree: ast.AST) -> bool:
    """Whether a module is imported whose name isn't written there, nor checked against a table of names."""
    return any(
        isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module"
        and not isinstance(node.args[0], (ast.Constant, ast.JoinedStr))
        for node in ast.walk(tree)
    )


def test_no_eval_no_pickle_no_unsafe_yaml_no_shell() -> None:
    found = [(file, *offence) for file in FILES for offence in offences(ast.parse(file.read_text()))]
    assert found == []


def test_code_is_imported_by_name_in_one_place_only() -> None:
    found = {f.relative_to(PACKAGE).as_posix() for f in PRODUCT if imports_by_computed_name(ast.parse(f.read_text()))}
    assert found <= IMPORTS_BY_NAME


@pytest.mark.parametrize(
    "text",
    ["eval('1')", "import pickle", "from marshal import loads", "yaml.load(x)", "f(shell=True)", "os.system('x')"],
)
def test_the_checker_finds_what_it_looks_for(text: str) -> None:
    assert list(offences(ast.parse(text)))
