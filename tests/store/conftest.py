"""A store for each test, and no connection left open: from Python 3.13 on, sqlite3 warns of those."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.helpers import close_all, open_store
from trio_recipes.store.sqlite import SqliteStore


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what the test has opened."""
    yield
    close_all()


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """An empty one."""
    return open_store(tmp_path)
