"""What a store stands on: whose folder it is, and whether its file system keeps what a store relies on.

Owners are told by ``flock`` and SQLite shares memory between processes: network file systems promise neither. They are
told by the kernel's table of mounts rather than by ``statfs``, whose numbers can't tell one FUSE file system from
another; looking there also never waits for a server that is gone.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from trio_recipes.errors import StoreUnusableError

if TYPE_CHECKING:
    from pathlib import Path

Mounts: TypeAlias = Callable[[], str]
"""Gives the table of mounts, in the form of ``/proc/self/mountinfo``; empty where there is none."""

NETWORK: Final = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs"),
        *("nfs", "nfs4", "ocfs2", "orangefs", "smb3", "smbfs"),
        *("fuse.ceph", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.rclone"),
        *("fuse.s3fs", "fuse.sshfs"),
    }
)
"""Types of file systems that several machines share, as the kernel names them."""

_ESCAPED = re.compile(r"\\([0-7]{3})")


def check_ground(root: Path, mounts: Mounts | None = None) -> None:
    """Refuse a folder that a store would not be safe in.

    Args:
        root: the store's folder, links followed; it need not be there yet.
        mounts: the table of mounts; this machine's own if it isn't given.

    Raises:
        StoreUnusableError: saying why, and what to do.
    """
    kind = file_system(root, mounts or _mounts)
    if kind in NETWORK:
        raise StoreUnusableError(
            f"store {root}: it is on a network file system ({kind}), whose locks can't be relied on; "
            "name a folder on a local disk with --store, or share sessions between machines by PostgreSQL"
        )
    try:
        owner = root.stat().st_uid
    except FileNotFoundError:
        return
    if owner not in (os.geteuid(), 0):
        raise StoreUnusableError(
            f"store {root}: the folder belongs to user {owner}, who could read and change what you run; "
            "name one of your own with --store"
        )


def file_system(place: Path, mounts: Mounts) -> str:
    """The type of the file system that a path is on; "" if nobody tells."""
    best, kind = "", ""
    for line in mounts().splitlines():
        mount, _, rest = line.partition(" - ")
        fields = mount.split(" ")
        point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4]) if len(fields) > 4 else ""
        # The last one counts: what is mounted later hides what was mounted there before.
        if point and len(point) >= len(best) and place.is_relative_to(point):
            best, kind = point, rest.partition(" ")[0]
    return kind


def unusable(root: Path, error: OSError) -> StoreUnusableError:
    """What to raise if nothing can be made in a store."""
    return StoreUnusableError(f"store {root}: {error.strerror}; name a folder that you can write with --store")


def no_locks(root: Path, error: OSError) -> StoreUnusableError:
    """The refusal of a file system that can't lock."""
    return StoreUnusableError(
        f"store {root}: its file system has no locks ({error.strerror}), and without them two programs could run one "
        "session; name a folder on a local disk with --store"
    )


def _mounts() -> str:
    if sys.platform != "linux":
        return ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:  # noqa: PTH123
            return table.read()
    except OSError:  # no /proc: nobody tells
        return ""
