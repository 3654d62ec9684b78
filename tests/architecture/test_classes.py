"""Classes of our decorators compare, hash and show themselves as those of attrs do; most of one is made later."""

import ast
import copy
import inspect
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path
from types import FunctionType
from typing import ClassVar

import attrs
import pytest

from trio_recipes import classes
from trio_recipes.events import ScopeFinished, ScopeStarted, ScopeStatus
from trio_recipes.failure import Failure, FailureKind

PACKAGE = Path(classes.__file__).parent


def pair(decorator: str, **options: bool) -> tuple[type, type]:
    """The same class, made by us and by attrs."""

    class Point:
        x: int
        y: int = attrs.field(default=0, repr=False)
        z: int = attrs.field(default=0, eq=False)

    ours, theirs = type("Point", (), dict(Point.__dict__)), type("Point", (), dict(Point.__dict__))
    return getattr(classes, decorator)(**options)(ours), getattr(attrs, decorator)(**options)(theirs)


@pytest.mark.parametrize("decorator", ["define", "frozen"])
@pytest.mark.parametrize("eq", [True, False])
def test_equal_and_shown_as_those_of_attrs(decorator: str, eq: bool) -> None:
    for made in pair(decorator, eq=eq):
        assert (made(1, 2) == made(1, 2, 3)) is eq
        assert made(1, 2) != made(1, 3)
        assert made(1) != 1
        assert repr(made(1, 2, 3)) == "Point(x=1, z=3)"


def test_frozen_ones_have_a_hash_and_others_have_none() -> None:
    for made in pair("frozen"):
        assert len({made(1, 2, 3), made(1, 2, 4), made(1, 5)}) == 2
    for made in pair("define"):
        with pytest.raises(TypeError, match="unhashable"):
            hash(made(1))


def test_those_that_compare_by_identity_hash_by_it() -> None:
    for made in pair("define", eq=False):
        one = made(1)
        assert len({one, one, made(1)}) == 2


def test_what_a_class_defines_itself_stays() -> None:
    @classes.frozen
    class Named:
        name: str

        def __repr__(self) -> str:
            return self.name

    assert repr(Named("ada")) == "ada"


def test_events_of_different_kinds_differ() -> None:
    started = ScopeStarted(path="a", kind="bash")
    assert started == ScopeStarted(path="a", kind="bash")
    assert started != ScopeStarted(path="b", kind="bash")
    assert started not in [ScopeFinished(path="a", status=ScopeStatus.COMPLETED), "a"]
    assert repr(started).startswith("ScopeStarted(path='a', kind='bash'")


# --- made later --------------------------------------------------------------------------------------------------


@classes.frozen
class Base:
    """Looked at by nobody before the tests below do."""

    x: int
    tags: list[str] = attrs.field(factory=list, eq=False)
    kind: ClassVar[str] = "base"

    def doubled(self) -> int:
        """A method stays what it is."""
        return 2 * self.x


@classes.frozen(kw_only=True)
class Derived(Base):
    """With fields of its own, which attrs puts behind those of its base."""

    kind: ClassVar[str] = "derived"
    y: int = 3


def is_made(cls: type) -> bool:
    return isinstance(cls.__dict__["__init__"], FunctionType)


def fresh(decorator: str = "frozen", **options: bool) -> type:
    """A class that nobody has looked at."""
    ours, _ = pair(decorator, **options)
    assert not is_made(ours)
    return ours


def test_a_class_is_made_when_it_is_first_used() -> None:
    looks: list[Callable[[type], object]] = [
        lambda cls: cls(1),
        attrs.fields,
        attrs.has,
        inspect.signature,
        attrgetter("__match_args__"),
    ]
    for look in looks:
        cls = fresh()
        look(cls)
        assert is_made(cls)
        assert cls(1) == cls(1, 0)


@pytest.mark.parametrize("decorator", ["define", "frozen"])
def test_it_has_what_a_class_of_attrs_has(decorator: str) -> None:
    ours, theirs = pair(decorator)
    assert ours.__slots__ == theirs.__slots__  # type: ignore[attr-defined]
    assert attrs.fields(ours) == attrs.fields(theirs)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert set(vars(ours)) == set(vars(theirs)) - {"__ne__"}  # which Python derives from `__eq__`
    assert not {type(member).__name__ for member in vars(ours).values()} & {"_Later"}


def test_frozen_ones_do_not_change() -> None:
    point = fresh()(1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        point.x = 2
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del point.x
    with pytest.raises(AttributeError):
        point.w = 2


def test_others_do_but_have_no_other_attributes() -> None:
    point = fresh("define")(1)
    point.x = 2
    assert point.x == 2
    with pytest.raises(AttributeError):
        point.w = 2


def test_a_derived_class_completes_its_base() -> None:
    one = Derived(x=1)
    assert is_made(Base)
    assert [field.name for field in attrs.fields(Derived)] == ["x", "tags", "y"]
    assert (one.x, one.tags, one.y, one.kind, one.doubled()) == (1, [], 3, "derived", 2)
    assert attrs.evolve(one, y=4) == Derived(x=1, y=4)
    assert not hasattr(one, "__dict__")
    assert weakref.ref(one)() is one


def test_what_belongs_to_the_class_is_no_field() -> None:
    """Whether annotations are evaluated, as here, or strings, as in modules that ask for that."""

    @classes.frozen
    class Evaluated:
        kind: ClassVar[str] = "one"
        x: int

    @classes.frozen
    class Written:
        kind: "ClassVar[str]" = "two"
        x: int

    assert (Evaluated.kind, Written.kind) == ("one", "two")
    assert (Evaluated(1).kind, Written(1).kind) == ("one", "two")
    assert Evaluated.__slots__ == Written.__slots__ == ("x", "__weakref__")  # type: ignore[attr-defined]


def test_what_is_derived_from_a_frozen_class_is_frozen() -> None:
    @classes.define
    class Open(fresh()):  # type: ignore[misc]
        more: int = 0

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Open(1).more = 2


def test_an_init_that_calls_the_one_of_its_base() -> None:
    base = fresh()

    class Plain(base):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            super().__init__(7)

    assert Plain().x == 7


def test_a_copy_that_another_process_reads_first() -> None:
    code = (
        "import pickle, sys; from trio_recipes.failure import Failure\n"
        "assert type(Failure.__dict__['__init__']).__name__ == '_Later'\n"
        "sys.stdout.write(repr(pickle.loads(sys.stdin.buffer.read())))"
    )
    failure = Failure(FailureKind.EXIT, "no", exit_code=3)
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(failure), capture_output=True, check=True)
    assert done.stdout.decode() == repr(failure)
    assert copy.copy(failure) == failure


def test_threads_that_look_at_once() -> None:
    count = 8
    for _ in range(50):
        cls, gate = fresh(), threading.Barrier(count)

        def look(number: int, cls: type = cls, gate: threading.Barrier = gate) -> bool:
            gate.wait()
            return bool(cls(number, 1).x == number and len(attrs.fields(cls)) == 3)

        with ThreadPoolExecutor(count) as pool:
            assert all(pool.map(look, range(count)))


def decorated() -> list[ast.ClassDef]:
    """All classes of the package that have our decorators."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in PACKAGE.rglob("*.py")]
    found = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return [
        node
        for node in found
        if any("define" in ast.unparse(d) or "frozen" in ast.unparse(d) for d in node.decorator_list)
    ]


def test_no_class_of_ours_needs_more() -> None:
    """Its methods would look for the class as it was written, and its properties for a ``__dict__``."""
    assert len(decorated()) > 100
    for node in decorated():
        names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
        assert not names & {"super", "__class__", "cached_property"}, node.name
