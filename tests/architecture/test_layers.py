"""The house rules of the package, enforced: who may import whom, no cycles, one place that opens nurseries.

Every import counts: at the top of a module, inside a function, under `TYPE_CHECKING`, and by name through
`import_module("trio_recipes.…")`. A type that a lower layer needs from a higher one lives in the wrong
place, and an import that works only because it comes late hides the same mistake.
"""

import ast
import graphlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PACKAGE = "trio_recipes"

# ---------------------------------------------------------------------------------------------- the rules

BASE = {"_version", "plainfile", "classes", "errors", "failure", "masking", "values", "statuses", "events"}
PURE = BASE | {"language", "progress"}
ENGINE = PURE | {"runtime", "processes", "steps", "agents", "store"}
LIBRARY = ENGINE | {"sessions", "interpreter"}

# A unit is a folder or a module right under the package. What it may import, besides itself:
MAY_IMPORT: Mapping[str, set[str]] = {
    "_version": set(),
    "_ground": set(),
    "interpreter": set(),
    "plainfile": set(),
    "classes": set(),
    "errors": BASE,
    "failure": BASE,
    "statuses": BASE,
    "masking": BASE,
    "values": BASE,
    "events": BASE,
    "language": BASE,
    "progress": BASE | {"language"},
    "runtime": PURE,
    "processes": {"classes", "errors"},
    "steps": PURE | {"runtime.ports", "processes"},
    "agents": PURE | {"runtime.ports", "processes"},
    "store": BASE | {"progress"},
    "sessions": ENGINE | {"interpreter"},
    "frontends": LIBRARY,
    # Amplifier calls the tool that every agent loop calls.
    "integrations": LIBRARY | {"frontends.tool"},
    "testing": LIBRARY,
    "__main__": LIBRARY | {"frontends"},
    # The package itself offers everybody's public names, so nobody inside imports it back.
    "": LIBRARY | {"frontends", "integrations", "testing", "_ground"},
}

# The one module of the runtime that opens nurseries: it owns what has to happen around each of them.
NURSERY_MODULE = "runtime.scope"

# A longer file does more than one thing, or explains too little of it by its layout.
MAX_LINES = 400

# -------------------------------------------------------------------------------------------- the checker


@dataclass(frozen=True)
class Module:
    """One parsed file; `name` is relative to the package: "" is the package, "runtime.scope" a module."""

    name: str
    is_package: bool
    tree: ast.Module = field(repr=False)
    lines: int

    @property
    def unit(self) -> str:
        return self.name.partition(".")[0]


def parse_modules(sources: Mapping[str, str]) -> dict[str, Module]:
    """Parse `{"runtime/scope.py": text}` into modules by name."""
    modules: dict[str, Module] = {}
    for file, text in sources.items():
        *folders, stem = file.removesuffix(".py").split("/")
        is_package = stem == "__init__"
        name = ".".join(folders if is_package else [*folders, stem])
        modules[name] = Module(name, is_package, ast.parse(text), len(text.splitlines()))
    return modules


def imports_of(module: Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the absolute name of all that a module imports, wherever it does so."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(names=names):
                source = absolute_source(node, module)
                yield from ((node.lineno, f"{source}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name
            case _:
                pass


def absolute_source(node: ast.ImportFrom, module: Module) -> str:
    """Return the absolute name of `x` in `from x import …`, however many dots it starts with."""
    if node.level == 0:
        return node.module or ""
    own = [PACKAGE, *module.name.split(".")] if module.name else [PACKAGE]
    climb = node.level - 1 if module.is_package else node.level
    return ".".join(own[: len(own) - climb] + ([node.module] if node.module else []))


def internal_imports(module: Module, modules: Mapping[str, Module]) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each module of the package that a module imports."""
    for line, absolute in imports_of(module):
        package, _, name = absolute.partition(".")
        if package == PACKAGE:
            yield line, owner_of(name, modules)


def owner_of(name: str, modules: Mapping[str, Module]) -> str:
    """Return the module that a dotted name stands in: "errors.RecipeError" stands in "errors"."""
    candidate = name
    while candidate and candidate not in modules:
        candidate = candidate.rpartition(".")[0]
    # A module that isn't there (yet) is still held to the rules of its unit.
    is_missing = not candidate and name.partition(".")[0] in MAY_IMPORT
    return name if is_missing else candidate


def wrong_imports(modules: Mapping[str, Module]) -> Iterator[str]:
    """Imports against the direction of the layers."""
    for module in modules.values():
        for line, target in internal_imports(module, modules):
            if not may_import(module.unit, target):
                yield f"{module.name or PACKAGE}:{line} imports {target or PACKAGE}"


def may_import(unit: str, target: str) -> bool:
    """Tell whether the table lets a unit import a module."""
    if target and target.partition(".")[0] == unit:
        return True
    return any(target == name or target.startswith(f"{name}.") for name in MAY_IMPORT.get(unit, set()))


def unknown_units(modules: Mapping[str, Module]) -> Iterator[str]:
    """Folders and modules that the table above says nothing about."""
    for unit in sorted({module.unit for module in modules.values()} - MAY_IMPORT.keys()):
        yield f"{unit}: give it a line in MAY_IMPORT"


def cycles(modules: Mapping[str, Module]) -> Iterator[str]:
    """The first cycle of modules that import each other."""
    graph = {
        module.name: {target for _, target in internal_imports(module, modules)} - {module.name}
        for module in modules.values()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        # graphlib lists each module after the one that imports it.
        yield " <- ".join(name or PACKAGE for name in error.args[1])


def stray_nurseries(modules: Mapping[str, Module]) -> Iterator[str]:
    """Uses of `open_nursery` in the runtime, outside of the one module that is for it."""
    for module in modules.values():
        if module.unit != "runtime" or module.name == NURSERY_MODULE:
            continue
        for node in ast.walk(module.tree):
            match node:
                case ast.Attribute(attr="open_nursery") | ast.Name(id="open_nursery"):
                    yield f"{module.name}:{node.lineno} opens a nursery; {NURSERY_MODULE} is there for that"
                case ast.alias(name="open_nursery"):
                    yield f"{module.name}:{node.lineno} imports open_nursery"
                case _:
                    pass


def long_files(modules: Mapping[str, Module]) -> Iterator[str]:
    """Files of more than MAX_LINES lines."""
    for module in modules.values():
        if module.lines > MAX_LINES:
            yield f"{module.name or PACKAGE}: {module.lines} lines, at most {MAX_LINES}"


def folders_without_init(modules: Mapping[str, Module]) -> Iterator[str]:
    """Folders that hold modules and aren't packages."""
    folders = {module.name.rpartition(".")[0] for module in modules.values() if module.name}
    for folder in sorted(folders - modules.keys()):
        yield f"{folder.replace('.', '/') or PACKAGE}/: no __init__.py"


RULES = [wrong_imports, unknown_units, cycles, stray_nurseries, long_files, folders_without_init]


def violations(sources: Mapping[str, str]) -> list[str]:
    """Return what breaks any rule, as lines to read."""
    modules = parse_modules(sources)
    return [problem for rule in RULES for problem in rule(modules)]


# ------------------------------------------------------------------------------------------- the package


def package_sources() -> dict[str, str]:
    """Read every file of the package."""
    folder = Path(__file__).parents[2] / PACKAGE
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))
    }


def test_the_package_keeps_the_rules() -> None:
    sources = package_sources()
    assert sources
    assert violations(sources) == []


# --------------------------------------------------------------------------------- the checker, checked


def house(**texts: str) -> dict[str, str]:
    """Build a small package: `runtime__scope="…"` is runtime/scope.py; its folders are packages."""
    files = {f"{name.replace('__', '/')}.py": text for name, text in texts.items()}
    folders = {file.rpartition("/")[0] for file in files}
    return {"__init__.py": "", **{f"{folder}/__init__.py": "" for folder in folders if folder}, **files}


ALLOWED = [
    house(errors="import trio", events="from trio_recipes.errors import RecipeError"),
    house(progress__fold="from trio_recipes.language.model import Recipe", language__model=""),
    house(steps__bash="from trio_recipes.runtime.ports import Emit", runtime__ports=""),
    house(steps__bash="from trio_recipes.runtime import ports", runtime__ports=""),
    house(steps__bash="from ..processes.tree import start", processes__tree="from .. import errors", errors=""),
    house(frontends__cli="def main():\n    from trio_recipes.sessions import manager", sessions__manager=""),
    house(runtime__scope="import trio\nasync def f():\n    async with trio.open_nursery(): pass"),
    house(agents__api="import trio\nasync def f():\n    async with trio.open_nursery(): pass"),
    house(store__a="from . import b", store__b="import trio_recipes.errors", errors=""),
]


@pytest.mark.parametrize("sources", ALLOWED)
def test_what_the_rules_allow(sources: dict[str, str]) -> None:
    assert violations(sources) == []


FORBIDDEN = [
    (house(language__load="import trio_recipes.progress.fold", progress__fold=""), "imports progress.fold"),
    (house(language__load="from trio_recipes.runtime.scope import Scope"), "imports runtime.scope"),
    (house(language__load="from ..runtime import scope", runtime__scope=""), "imports runtime.scope"),
    (house(errors="def f():\n    from trio_recipes.language import model"), "errors:2 imports language"),
    (
        house(events="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import trio_recipes.store"),
        "events:3 imports store",
    ),
    (
        house(runtime__walk="import importlib\nimportlib.import_module('trio_recipes.store.base')"),
        "runtime.walk:2 imports store.base",
    ),
    (house(steps__bash="from trio_recipes.runtime.scope import Scope", runtime__scope=""), "runtime.scope"),
    (house(steps__agent="from trio_recipes.agents import api", agents__api=""), "imports agents.api"),
    (house(agents__api="from trio_recipes.steps import bash", steps__bash=""), "imports steps.bash"),
    (house(processes__tree="from trio_recipes import events", events=""), "imports events"),
    (house(store__base="from trio_recipes.runtime.ports import Emit", runtime__ports=""), "runtime.ports"),
    (house(sessions__runtime="from trio_recipes.frontends import cli", frontends__cli=""), "frontends.cli"),
    (house(steps__bash="from trio_recipes import Recipe"), "steps.bash:1 imports trio_recipes"),
    (house(extras__thing=""), "extras: give it a line"),
    (house(store__a="from . import b", store__b="from .a import x"), "store.a <- store.b <- store.a"),
    (
        house(store__a="from . import b", store__b="def f():\n    from trio_recipes.store import a"),
        "store.a <- store.b <- store.a",
    ),
    (house(runtime__walk="import trio\nn = trio.open_nursery()"), "runtime.walk:2 opens a nursery"),
    (house(runtime__walk="from trio import open_nursery as o"), "runtime.walk:1 imports open_nursery"),
    (house(errors="\n" * (MAX_LINES + 1)), "errors: 401 lines"),
    ({"__init__.py": "", "store/codec.py": ""}, "store/: no __init__.py"),
    ({"errors.py": ""}, "trio_recipes/: no __init__.py"),
]


@pytest.mark.parametrize(("sources", "problem"), FORBIDDEN)
def test_what_the_rules_forbid(sources: dict[str, str], problem: str) -> None:
    assert problem in "\n".join(violations(sources))
