"""What every test gets: a home of its own, reproducible property tests, the fast folders first."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# No deadlines: on a loaded machine they measure the neighbours.
settings.register_profile("quick", deadline=None, max_examples=30)
settings.register_profile("ci", deadline=None, derandomize=True, max_examples=20)
settings.load_profile("ci" if os.environ.get("CI") else "quick")

# What a shell starts in the background ignores Ctrl+C, and every process of the tests would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Pure code first: a mistake there shows in seconds, not after the tests that wait for real processes.
FAST_FIRST = ("architecture", "docs", "language", "progress")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the folders of `FAST_FIRST` before the others, and keep the order otherwise."""
    tests_folder = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(tests_folder).parts[0]
        return FAST_FIRST.index(folder) if folder in FAST_FIRST else len(FAST_FIRST)

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test, and the processes it starts, away from the user's files and from other tests."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("TRIO_RECIPES_STORE", f"sqlite:///{home / 'store'}")
    return home
