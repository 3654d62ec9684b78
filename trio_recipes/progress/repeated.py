"""What a resume runs again although it has finished: ``on_resume: rerun``, at any depth (the language's section 12).

Such a step has left something behind that is gone with its run: a server, say. The scopes around it are entered again
for that, and all else in them is reused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.progress import path as paths

if TYPE_CHECKING:
    from trio_recipes.progress.fold import Progress


def comes_again(progress: Progress) -> frozenset[str]:
    """Finished steps that a resume runs again, and the finished scopes around them.

    What a ``finally`` has done is not done again by itself, and a failure that was handled is final: inside of either,
    nothing comes again. Nor does anything once all work is done: there is nobody left to use it.
    """
    found: set[str] = set()
    if progress.work_is_done:
        return frozenset()
    for record in progress.records.values():
        if record.reruns and record.final:
            found.update(_way_to(record.path, progress))
    return frozenset(found)


def _way_to(path: str, progress: Progress) -> list[str]:
    """The finished scopes from ``path`` outwards; none if nothing enters one of them."""
    way = [path]
    for scope in paths.around(path):
        if scope.rpartition("/")[2].startswith(paths.FINALLY):
            break
        record = progress.records.get(scope)
        if record is not None and record.handled:
            return []
        if record is not None and record.final:
            way.append(scope)
    return way
