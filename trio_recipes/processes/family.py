"""Who belongs to a process tree.

No single trait is enough, so a process belongs that has any of these: it is in the leader's process
group or session; it carries our marks; we have seen it belong before; it descends from one that belongs.
To escape, a process has to change group and session, clear its environment *and* outlive its parent
before we first look; `platform.become_subreaper` gets those as well.
"""

import os
from collections.abc import Callable, Iterable

from . import marks
from .platform import Platform, group_of
from .procfs import Proc
from .snapshot import Snapshot

Pick = Callable[[Snapshot], Iterable[Proc]]
"""Picks processes out of a snapshot, by their marks for instance."""


class Family:
    """The processes of one tree, as far as they are known.

    Args:
        pick: Picks members by a trait of their own.
        group: The leader's pid, which is the number of its group and session too; None without leader.
    """

    def __init__(self, pick: Pick, group: int | None = None) -> None:
        self._pick = pick
        self.group = group
        # While the leader isn't reaped the kernel gives its number to nobody else. Afterwards the group
        # is trusted only if somebody is in it who was known before: it has existed all the time then.
        self.is_pinned = group is not None
        self._known: set[tuple[int, int]] = set()

    def foresee(self, platform: Platform) -> tuple[list[int], list[Proc]]:
        """Find the leader's descendants before the first signal, which makes orphans of them.

        Those that have left the group are remembered, whatever becomes of their traits. Those in it need no more than
        their number: they stay in reach.

        Returns:
            The pids in the group, and the processes out of it that run.
        """
        inside: list[int] = []
        outside: dict[int, Proc] = {}
        for pid in platform.descendants(self.group) if self.group is not None else ():
            if group_of(pid) == self.group:
                inside.append(pid)
            elif (proc := platform.read(pid)) and (proc.ppid in inside or proc.ppid in outside) and _may_belong(proc):
                outside[pid] = proc
        return inside, self._remember(outside.values())

    def meet(self, pids: Iterable[int], platform: Platform) -> list[Proc]:
        """Remember those of some processes that are in the group, and return who of them runs.

        The leader's number must be its group's still.
        """
        found = (platform.read(pid, marked=False) for pid in pids)
        return self._remember(proc for proc in found if proc and proc.pgid == self.group)

    def running(self, snapshot: Snapshot) -> list[Proc]:
        """Return the members that run, and remember them."""
        roots = [*self._remembered(snapshot), *self._by_group(snapshot), *self._pick(snapshot)]
        return self._admit(snapshot, roots)

    def _admit(self, snapshot: Snapshot, roots: Iterable[Proc]) -> list[Proc]:
        return self._remember(snapshot.descend(roots, _may_belong))

    def _remember(self, procs: Iterable[Proc]) -> list[Proc]:
        members = list(procs)
        self._known.update(proc.ident for proc in members)
        return [proc for proc in members if proc.is_running]

    def _remembered(self, snapshot: Snapshot) -> list[Proc]:
        # Forget the dead, or a background server that forks for months fills the memory.
        self._known = {
            ident for ident in self._known if (proc := snapshot.by_pid.get(ident[0])) and proc.ident == ident
        }
        return [snapshot.by_pid[pid] for pid, _ in self._known]

    def _by_group(self, snapshot: Snapshot) -> list[Proc]:
        if self.group is None:
            return []
        members = snapshot.by_group.get(self.group, []) + snapshot.by_session.get(self.group, [])
        if self.is_pinned or any(proc.ident in self._known for proc in members):
            return members
        return []


def of_tree(run: str, tree: str) -> Pick:
    """Pick what one run of a command has started."""
    return lambda snapshot: [proc for proc in snapshot.by_tree.get(tree, ()) if proc.marks[marks.RUN] == run]


def of_run(run: str) -> Pick:
    """Pick what a runner has started, except for ourselves and those we descend from."""

    def pick(snapshot: Snapshot) -> list[Proc]:
        ours = snapshot.ancestors(os.getpid())
        return [proc for proc in snapshot.marked if proc.marks[marks.RUN] == run and proc.pid not in ours]

    return pick


def of_session(run: str, session: str, spared: Callable[[], set[str]]) -> Pick:
    """Pick what a session has started, except for the trees in `spared`."""

    def pick(snapshot: Snapshot) -> list[Proc]:
        trees = spared()
        return [
            proc
            for proc in snapshot.marked
            if proc.marks[marks.RUN] == run
            and proc.marks.get(marks.SESSION) == session
            and proc.marks.get(marks.TREE) not in trees
        ]

    return pick


def adopted(children: Callable[[], set[int]]) -> Pick:
    """Pick the orphans that a subreaper was given: its children, but for those that it started itself."""

    def pick(snapshot: Snapshot) -> list[Proc]:
        own = children()
        mine = snapshot.by_parent.get(os.getpid(), ())
        return [proc for proc in mine if proc.pid not in own and proc.pgid != os.getpgrp()]

    return pick


def _may_belong(proc: Proc) -> bool:
    """Keep sweeps from ourselves, and from what outlives us on purpose."""
    is_ours = proc.pid <= 1 or proc.pid == os.getpid() or proc.pgid == os.getpgrp()
    return not is_ours and not any(mark in proc.marks for mark in marks.SPARED)
