"""No test leaves a connection open: from Python 3.13 on, sqlite3 warns of those."""

from collections.abc import Iterator

import pytest

from tests.store.helpers import close_all


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what the test has opened."""
    yield
    close_all()
