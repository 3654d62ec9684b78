"""Marks: put on, taken off, read back."""

from trio_recipes.processes import marks


def test_marks_replace_those_of_an_outer_runner_and_leave_the_rest() -> None:
    outer = {"PATH": "/bin", marks.RUN: "outer", marks.TREE: "7", marks.DETACHED: "1", "TRIO_RECIPES_STORE": "x"}
    assert marks.without_marks(outer) == {"PATH": "/bin", "TRIO_RECIPES_STORE": "x"}
    assert marks.with_marks(outer, {marks.RUN: "inner"}) == {
        "PATH": "/bin",
        "TRIO_RECIPES_STORE": "x",
        marks.RUN: "inner",
    }
    assert marks.detached(outer)[marks.DETACHED] == "1"
    assert marks.RUN not in marks.detached(outer)


def test_read_marks_takes_whole_names_only() -> None:
    environ = b"PATH=/bin\0TRIO_RECIPES_RUN=r=1\0XTRIO_RECIPES_TREE=2\0TRIO_RECIPES_OTHER=3\0rubbish\0"
    assert marks.read_marks(environ) == {marks.RUN: "r=1"}
    assert marks.read_marks(b"") == {}
