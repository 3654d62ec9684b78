"""Our decorators make classes that compare, hash and show themselves as those of attrs do."""

import attrs
import pytest

from trio_recipes import classes
from trio_recipes.events import ScopeFinished, ScopeStarted, ScopeStatus


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
