"""The machine that is measured, and what it does besides."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

import trio

from benchmarks.commits import Commits
from benchmarks.series import Series
from benchmarks.unit import SECONDS


def facts(folder: Path, root: Path) -> dict[str, str]:
    """What has to be known to read the figures; all of it is printed beside them."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "commit": _commit(root),
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "trio": trio.__version__,
        "sqlite": sqlite3.sqlite_version,
        "file system": _file_system(folder),
        "a commit (WAL, FULL)": _commit_cost(folder),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _file_system(folder: Path) -> str:
    done = subprocess.run(["df", "-T", str(folder)], capture_output=True, text=True, check=False)
    words = done.stdout.splitlines()[-1].split() if done.returncode == 0 else []
    return words[1] if len(words) > 1 else "unknown"


def _commit(root: Path) -> str:
    """The commit, with a mark if files have been changed since."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _commit_cost(folder: Path) -> str:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        commits = Commits(Path(place) / "probe.db")
        series = Series(tuple(commits.measure(200)))
        commits.close()
    return f"median {SECONDS.show(series.median)}, p95 {SECONDS.show(series.p95)}"
