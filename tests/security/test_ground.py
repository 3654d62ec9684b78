"""Where a store may stand: of one's own, on a file system whose locks can be relied on."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.frontends.running import PROGRAM, QUICK, environment, write_recipe
from trio_recipes.errors import StoreUnusableError
from trio_recipes.store.ground import NETWORK, check_ground, file_system
from trio_recipes.store.layout import Layout

TABLE = """\
20 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 20 0:30 / /home rw,relatime shared:1 - nfs4 server:/home rw
31 30 8:2 / /home/ada/my\\040disk rw - xfs /dev/sdb1 rw
32 20 0:31 / /mnt/remote rw - fuse.sshfs ada@server: rw
33 20 0:32 / /mnt/over rw - nfs server:/x rw
34 33 8:3 / /mnt/over rw - ext4 /dev/sdc1 rw
rubbish
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/home/ada/.local/state", "nfs4"),
        ("/homework", "ext4"),
        ("/home/ada/my disk/store", "xfs"),
        ("/mnt/remote", "fuse.sshfs"),
        ("/mnt/over/store", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(place: str, kind: str) -> None:
    assert file_system(Path(place), lambda: TABLE) == kind


def test_network_file_systems_are_refused_with_a_hint() -> None:
    for kind in NETWORK:
        with pytest.raises(StoreUnusableError, match=r"network file system.*local disk.*PostgreSQL"):
            check_ground(Path("/store"), partial(str, f"1 0 0:1 / / rw - {kind} server rw"))
    check_ground(Path("/nowhere/yet"), lambda: "")


MOUNTING = """
exec 7<>/dev/fuse && mount -i -t fuse.sshfs -o fd=7,rootmode=40000,user_id=0,group_id=0 none "$1" || exit 77
exec 7>&-
shift
exec "$@"
"""


def test_a_real_mount_is_refused(tmp_path: Path) -> None:
    """A file system of the type of sshfs, whose server is gone: refused at once, nothing waits for it."""
    (tmp_path / "mount").mkdir()
    command = [*PROGRAM, "run", str(write_recipe(tmp_path, QUICK)), "--store", str(tmp_path / "mount" / "store")]
    ran = subprocess.run(
        ["unshare", "--mount", "bash", "-c", MOUNTING, "bash", str(tmp_path / "mount"), *command],
        capture_output=True,
        text=True,
        timeout=20,
        env=environment(),
        check=False,
    )
    if ran.returncode not in (0, 1, 2):
        pytest.skip(f"no mounts can be made here: {ran.stderr.strip()}")
    assert ran.returncode == 2
    assert "is on a network file system (fuse.sshfs)" in ran.stderr


def test_a_file_system_without_locks_is_refused(tmp_path: Path) -> None:
    """Such as NFS mounted with ``nolock``: the kernel answers ENOLCK."""
    program = (
        "import errno, fcntl, sys\n"
        "def refuse(*_): raise OSError(errno.ENOLCK, 'No locks available')\n"
        "fcntl.flock = refuse\n"
        "from trio_recipes.frontends.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    recipe = write_recipe(tmp_path, QUICK)
    ran = subprocess.run(
        [sys.executable, "-c", program, "run", str(recipe), "--store", str(tmp_path / "store")],
        capture_output=True,
        text=True,
        timeout=20,
        env=environment(),
        check=False,
    )
    assert ran.returncode == 2, ran.stderr
    assert "has no locks (No locks available)" in ran.stderr
    assert list((tmp_path / "store" / "sessions").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to make a folder another user's")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    os.chown(other, 65534, 65534)
    with pytest.raises(StoreUnusableError, match="belongs to user 65534"):
        Layout(other).prepare()


def test_a_folder_that_becomes_a_store_is_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    Layout(folder).prepare()
    assert folder.stat().st_mode & 0o777 == 0o700
