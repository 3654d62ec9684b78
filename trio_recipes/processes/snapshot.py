"""All processes at one moment, indexed so that each of a thousand trees picks its own at no cost."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from trio_recipes.classes import frozen

from . import marks
from .procfs import Proc

Key = TypeVar("Key")


def _index(procs: Iterable[Proc], key: Callable[[Proc], Key]) -> dict[Key, list[Proc]]:
    found: defaultdict[Key, list[Proc]] = defaultdict(list)
    for proc in procs:
        found[key(proc)].append(proc)
    return dict(found)


@frozen
class Snapshot:
    """What one scan found. Not atomic: a process that forks while we read may be missed once."""

    by_pid: dict[int, Proc]
    by_parent: dict[int, list[Proc]]
    by_group: dict[int, list[Proc]]
    by_session: dict[int, list[Proc]]
    by_tree: dict[str, list[Proc]]
    marked: tuple[Proc, ...]

    @classmethod
    def of(cls, procs: Iterable[Proc]) -> "Snapshot":
        """Index the processes that a scan found."""
        procs = tuple(procs)
        marked = tuple(proc for proc in procs if marks.RUN in proc.marks)
        return cls(
            by_pid={proc.pid: proc for proc in procs},
            by_parent=_index(procs, lambda proc: proc.ppid),
            by_group=_index(procs, lambda proc: proc.pgid),
            by_session=_index(procs, lambda proc: proc.sid),
            by_tree=_index(marked, lambda proc: proc.marks.get(marks.TREE, "")),
            marked=marked,
        )

    def descend(self, roots: Iterable[Proc], admits: Callable[[Proc], bool]) -> Iterator[Proc]:
        """Yield these processes and what descends from them, each once; skip who isn't admitted, with all below."""
        waiting = list(roots)
        seen: set[int] = set()
        while waiting:
            proc = waiting.pop()
            if proc.pid not in seen and admits(proc):
                seen.add(proc.pid)
                waiting += self.by_parent.get(proc.pid, ())
                yield proc

    def ancestors(self, pid: int) -> set[int]:
        """Return the pids from this process up to the first one."""
        found: set[int] = set()
        while pid in self.by_pid and pid not in found:
            found.add(pid)
            pid = self.by_pid[pid].ppid
        return found
